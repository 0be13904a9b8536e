"""`evaluate`: every method on every test slice, as a table with the low-resolution row.

Writes ``metrics.json`` (``rows``), ``slices.tsv``, ``table.md`` and ``figure.png``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.atomic import atomic_folder, refuse_foreign
from data_prep.errors import BadInputError, ConfigError
from srmri_tf import __version__, metrics
from srmri_tf.dataset import Shards, SlicePair
from srmri_tf.figure import Example, comparison
from srmri_tf.runs import Run, Sharpen, sharpener
from srmri_tf.statistics import bootstrap_ci95, subject_means

VERSION = 1
LOW_RESOLUTION = "lr"


@dataclass(frozen=True)
class SliceRow:
    """One method on one slice."""

    method: str
    subject: str
    session: str
    slice: int
    air: bool
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Row:
    """One method over all subjects; intervals are None for a single subject.

    Args:
        name: ``lr``, or the run's folder name.
        psnr: Mean over subjects of each subject's mean over slices, in dB, range 1.
        ssim: The same of SSIM.
        psnr_ci95: 95 % bootstrap interval over subjects.
        ssim_ci95: The same of SSIM.
        psnr_gain: Difference to the ``lr`` row.
        ssim_gain: Difference to the ``lr`` row.
        n_slices: Slices counted; air-only slices are not.
        n_subjects: Subjects counted.
    """

    name: str
    psnr: float
    ssim: float
    psnr_ci95: tuple[float, float] | None
    ssim_ci95: tuple[float, float] | None
    psnr_gain: float
    ssim_gain: float
    n_slices: int
    n_subjects: int


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found and where it is."""

    folder: Path
    rows: tuple[Row, ...]
    n_air: int

    @property
    def figure(self) -> Path:
        """The comparison picture."""
        return self.folder / "figure.png"


def evaluate(runs: Sequence[Path], shards_folder: Path, out: Path) -> Evaluation:
    """Measure runs on the test subjects of a shard folder.

    Args:
        runs: RUN folders.
        shards_folder: What `srmri-tf prepare` wrote.
        out: Where the results go; an earlier evaluation there is replaced as a whole.

    Raises:
        ConfigError: Two runs of one name, or ``out`` holds something else.
        BadInputError: No test slices, a run trained on a test subject or on another degradation.
        CorruptArtefactError: Shards or weights are damaged.
    """
    refuse_foreign(out, "metrics.json", "an evaluation")
    opened = [Run(Path(folder)) for folder in runs]
    names = [run.name for run in opened]
    if len({*names, LOW_RESOLUTION}) <= len(names):
        raise ConfigError(
            f"two methods have one name: {', '.join([LOW_RESOLUTION, *names])}",
            remedy="Rename a run's folder",
        )
    configured = [(run, run.generator()) for run in opened]
    shards = Shards.open(shards_folder)
    for run in opened:
        _check_fair(run, shards)
    methods = {run.name: sharpener(generator) for run, generator in configured}
    example = Example()
    slices = list(_measure(methods, shards, example))
    if all(row.air for row in slices):
        raise BadInputError(
            "has no test slices to measure",
            path=shards.folder,
            remedy="Prepare with --test-fraction above 0",
        )
    rows = summarise(slices, [LOW_RESOLUTION, *names])
    n_air = sum(row.air for row in slices if row.method == LOW_RESOLUTION)
    with atomic_folder(Path(out)) as folder:
        _write(folder, rows, slices, shards, n_air)
        comparison(example, folder / "figure.png")
    return Evaluation(Path(out), rows, n_air)


def summarise(slices: Sequence[SliceRow], names: Sequence[str]) -> tuple[Row, ...]:
    """Turn slice rows into one row per method, the first name being the one gains refer to."""
    rows: list[Row] = []
    for name in names:
        mine = [s for s in slices if s.method == name and not s.air]
        means = {m: subject_means(_by_subject(mine, m)) for m in ("psnr", "ssim")}
        psnr, ssim = float(np.mean(means["psnr"])), float(np.mean(means["ssim"]))
        base = rows[0] if rows else None
        rows.append(
            Row(
                name=name,
                psnr=psnr,
                ssim=ssim,
                psnr_ci95=bootstrap_ci95(means["psnr"]),
                ssim_ci95=bootstrap_ci95(means["ssim"]),
                psnr_gain=psnr - base.psnr if base else 0.0,
                ssim_gain=ssim - base.ssim if base else 0.0,
                n_slices=len(mine),
                n_subjects=len(means["psnr"]),
            )
        )
    return tuple(rows)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| method | PSNR (dB) | gain | SSIM | gain | slices | subjects |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        psnr = f"{row.psnr:.2f}{_interval(row.psnr_ci95, 2)}"
        ssim = f"{row.ssim:.4f}{_interval(row.ssim_ci95, 4)}"
        gains = ("", "") if row.name == LOW_RESOLUTION else (row.psnr_gain, row.ssim_gain)
        psnr_gain, ssim_gain = (
            f"{g:+.{d}f}" if g != "" else "" for g, d in zip(gains, (2, 4), strict=True)
        )
        lines.append(
            f"| {row.name} | {psnr} | {psnr_gain} | {ssim} | {ssim_gain} "
            f"| {row.n_slices} | {row.n_subjects} |"
        )
    return "\n".join(lines)


def _measure(
    methods: Mapping[str, Sharpen], shards: Shards, example: Example
) -> Iterator[SliceRow]:
    for pair in shards.slices("test"):
        images = {LOW_RESOLUTION: pair.lr}
        images |= {name: sharpen(pair.lr[None])[0] for name, sharpen in methods.items()}
        air = metrics.is_air(pair.hr)
        if not air:
            example.consider(pair, images)
        for name, image in images.items():
            yield _slice_row(name, pair, image, air)


def _slice_row(name: str, pair: SlicePair, image: np.ndarray, air: bool) -> SliceRow:
    return SliceRow(
        name,
        pair.subject,
        pair.session,
        pair.index,
        air,
        metrics.psnr(image, pair.hr),
        metrics.ssim(image, pair.hr),
    )


def _by_subject(rows: Sequence[SliceRow], measure: str) -> dict[str, list[float]]:
    grouped: dict[str, list[float]] = {}
    for row in rows:
        grouped.setdefault(row.subject, []).append(getattr(row, measure))
    return grouped


def _check_fair(run: Run, shards: Shards) -> None:
    facts = run.facts()
    seen = sorted({*facts["subjects"]["train"]} & {*shards.manifest.subjects("test")})
    if seen and shards.manifest.split_by == "subject":
        raise BadInputError(
            f"was trained on subjects that are in the test split: {', '.join(seen)}",
            path=run.folder,
            remedy="Evaluate on other subjects, or train on shards of the same split",
        )
    theirs = facts["parameters"]["degradation"]
    ours = shards.manifest.parameters.degradation.model_dump()
    if theirs != ours:
        raise BadInputError(
            f"was trained on another degradation ({theirs}) than the shards' ({ours})",
            path=run.folder,
            remedy="Prepare the scans with the run's --keep, --keep-by and --lr",
        )


def _write(
    folder: Path, rows: Sequence[Row], slices: Sequence[SliceRow], shards: Shards, n_air: int
) -> None:
    result: dict[str, Any] = {
        "version": VERSION,
        "software": f"srmri-tf {__version__}",
        "range": "1, volumes scaled by their maximum",
        "mean": "over subjects, of each subject's mean over slices",
        "ci95": "percentile bootstrap over subjects; null for a single subject",
        "air_slices_left_out": n_air,
        "parameters": shards.manifest.parameters.model_dump(),
        "test_subjects": shards.manifest.subjects("test"),
        "rows": [asdict(row) for row in rows],
    }
    (folder / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    columns = list(asdict(slices[0]))
    lines = ["\t".join(columns)]
    lines += ["\t".join(_cell(value) for value in asdict(row).values()) for row in slices]
    (folder / "slices.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(table(rows) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _interval(bounds: tuple[float, float] | None, digits: int) -> str:
    return "" if bounds is None else f" [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"
