"""Damaged files of every kind that the package writes or reads."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.scans import nifti
from data_prep.shards.files import verify
from data_prep.shards.schema import Parameters, SplitRule
from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.models import checkpoint, exporting
from srmri_tf.models.run import Run
from srmri_tf.models.stored import read
from srmri_tf.recipes.config import CircleConfig, CpceConfig, TrainConfig
from srmri_tf.report.page import report
from srmri_tf.training.fitting import fit
from tests.data_prep.phantoms import save
from tests.faults.damage import Row, blank, campaign, cut, digest, edit, flip, repeat

ALL = (flip, flip, cut, blank, repeat)
SIDE = 32
QUICK = {"batch_size": 4, "validation": {"max_slices": 1}}
SCHEDULE = {"epochs": 1, "warmup_epochs": 1, "steps_per_epoch": 1}
CONFIGS: dict[str, TrainConfig] = {
    "cpce": CpceConfig.model_validate(
        {
            **QUICK,
            "generator": {"shortcut": True},
            "objective": {"perceptual": 0, "n_critic": 1},
            "schedule": SCHEDULE,
        }
    ),
    "circle": CircleConfig.model_validate(
        {**QUICK, "critic": {"form": "four_stage"}, "schedule": SCHEDULE}
    ),
}


def shards_in(folder: Path) -> Path:
    """Four phantoms, two to train on."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        save(folder / "scans" / f"{name}.nii.gz", 1000 * rng.random((40, 36, 4), np.float32))
    config = PrepareConfig(
        parameters=Parameters(patch_size=SIDE),
        split_rule=SplitRule(val_fraction=0.25, test_fraction=0.25),
    )
    prepare([folder / "scans"], folder / "shards", config)
    return folder / "shards"


def scans(folder: Path, tries: int) -> Iterator[Row]:
    """NIfTI headers, which have no checksum, and gzip streams, which have one."""
    plain = save(folder / "scan.nii", np.arange(24 * 20 * 6, dtype=np.float32).reshape(24, 20, 6))
    packed = save(folder / "scan.nii.gz", plain_voxels(plain))

    def use(path: Path) -> bytes:
        image = nifti.read(path)
        return digest(image.voxels, image.affine)

    yield campaign("scan, .nii", [plain], lambda: use(plain), ALL, tries, another_is_fine=True)
    yield campaign("scan, .nii.gz", [packed], lambda: use(packed), ALL, tries)


def plain_voxels(path: Path) -> np.ndarray:
    """The voxels of a NIfTI file."""
    return nifti.read(path).voxels


def shards(folder: Path, tries: int) -> Iterator[Row]:
    """Shards and their manifest."""
    made = shards_in(folder)

    def use() -> bytes:
        return digest(verify(made))

    yield campaign("shard", sorted(made.glob("*.tfrecord")), use, ALL, tries)
    yield campaign("manifest", [made / "manifest.json"], use, (*ALL, edit, edit), tries)


def runs(folder: Path, tries: int) -> Iterator[Row]:
    """A RUN of each GAN, its models in every format, and its evaluation."""
    made = shards_in(folder)
    trained = [fit(config, made, folder / name).folder for name, config in CONFIGS.items()]
    for run in map(Run, trained):
        yield campaign(
            f"RUN {run.name}, settings",
            [run.config_file, run.facts_file],
            lambda run=run: digest(run.config(), run.facts()),
            (*ALL, edit, edit),
            tries,
        )
        for file in (run.checkpoint_file, run.best_file):
            yield campaign(
                f"RUN {run.name}, {file.name}",
                [file],
                lambda file=file: digest(*_arrays(file)),
                (flip, cut, blank, repeat),
                tries if file == run.best_file else tries // 10,
            )
        yield from _models(run.folder, folder / f"models-{run.name}", tries)
    evaluation = folder / "evaluation"
    evaluate(trained, made, evaluation, EvaluateConfig(slices="1"))
    files = [path for path in evaluation.rglob("*") if path.is_file()]
    page = folder / "report.html"
    yield campaign(
        "evaluation, by report",
        files,
        lambda: digest(report(evaluation, page).read_bytes()),
        (*ALL, edit),
        tries // 4,
        another_is_fine=True,
    )


def _arrays(path: Path) -> Iterator[object]:
    arrays, meta = checkpoint.load(path)
    yield meta
    for name in sorted(arrays):
        yield name
        yield arrays[name]


def _models(run: Path, folder: Path, tries: int) -> Iterator[Row]:
    for name in ("model", "model.keras", "model.npz"):
        out = exporting.export(run, folder / name)
        files = [p for p in out.rglob("*") if p.is_file()] if out.is_dir() else [out]

        def use(out: Path = out) -> bytes:
            stored = read(str(out))
            arrays = (x for key in sorted(stored.weights) for x in (key, stored.weights[key]))
            return digest(stored.architecture, stored.options, *arrays)

        yield campaign(f"exported {run.name}, {name}", files, use, (*ALL, edit), tries)
