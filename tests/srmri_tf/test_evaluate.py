"""The table against scikit-image, and what must not be compared."""

import csv
import json

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from data_prep.errors import BadInputError, ConfigError
from srmri_tf import checkpoint
from srmri_tf.config import CpceConfig
from srmri_tf.cpce import build_generator
from srmri_tf.evaluate import Options, evaluate, table
from srmri_tf.recipes import to_toml
from srmri_tf.runs import Run, weights_by_name
from srmri_tf.scores import SliceRow, VolumeRow
from srmri_tf.summary import method_summaries, rows_of

from .conftest import image_pair

PARAMETERS = {"degradation": {"keep": 0.25, "keep_by": "area", "lr": "magnitude"}}


def make_run(folder, gain=0.0, shortcut=True, train=("s1", "s2"), parameters=PARAMETERS):
    """A run whose generator is the identity, or black without ``shortcut``, at ``gain`` 0."""
    config = CpceConfig(generator={"shortcut": shortcut}, objective={"perceptual": 0})
    folder.mkdir(parents=True)
    generator = build_generator(config, "float32")
    last = generator.deconv8.kernel
    last.assign(gain * last.numpy())
    arrays = {name: w.numpy() for name, w in weights_by_name(generator).items()}
    run = Run(folder)
    checkpoint.save(run.best_file, arrays, {})
    run.config_file.write_text(to_toml(config))
    facts = {"subjects": {"train": list(train)}, "parameters": parameters}
    run.facts_file.write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def result(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    runs = [make_run(folder / "identity"), make_run(folder / "black", shortcut=False)]
    return evaluate(runs, shards, folder / "out")


def test_the_low_resolution_row_is_scikit_images(result):
    per_subject = []
    for subject in ("s4", "s5"):
        scores = []
        for index in range(4):
            lr, hr = image_pair(subject, index)
            scores.append(
                (
                    peak_signal_noise_ratio(hr, lr, data_range=1),
                    structural_similarity(
                        lr,
                        hr,
                        data_range=1,
                        gaussian_weights=True,
                        sigma=1.5,
                        use_sample_covariance=False,
                    ),
                )
            )
        per_subject.append(np.mean(scores, axis=0))
    row = result.rows[0]
    assert row.name == "lr"
    assert (row.n_slices, row.n_subjects) == (8, 2)
    assert (row.psnr, row.ssim) == pytest.approx(tuple(np.mean(per_subject, axis=0)), abs=1e-5)
    assert row.psnr_ci95 == pytest.approx(sorted(s[0] for s in per_subject), abs=1e-5)


def test_an_identity_gains_nothing_and_a_bad_network_loses(result):
    identity, black, bicubic = result.rows[1:]
    assert [row.name for row in result.rows[1:]] == ["identity", "black", "bicubic"]
    assert identity.psnr_gain == pytest.approx(0, abs=1e-5)
    assert identity.ssim_gain == pytest.approx(0, abs=1e-6)
    assert black.psnr_gain < -1
    assert bicubic.psnr_gain != 0


def test_the_files_say_the_same(result):
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert set(metrics["rows"][0]) == {
        "name",
        "psnr",
        "ssim",
        "psnr_ci95",
        "ssim_ci95",
        "psnr_gain",
        "ssim_gain",
        "n_slices",
        "n_subjects",
    }
    assert metrics["test_subjects"] == ["s4", "s5"]
    slices = list(csv.DictReader((result.folder / "slices.tsv").open(), delimiter="\t"))
    assert len(slices) == 4 * 8
    by_subject = [
        np.mean([float(s["psnr"]) for s in slices if (s["method"], s["subject"]) == ("lr", who)])
        for who in ("s4", "s5")
    ]
    assert np.mean(by_subject) == pytest.approx(metrics["rows"][0]["psnr"], abs=1e-5)
    assert (result.folder / "table.md").read_text().startswith("| method |")
    assert result.figure.read_bytes().startswith(b"\x89PNG")


def test_evaluating_again_replaces_the_result(result, shards):
    runs = [result.folder.parent / "identity"]
    assert len(evaluate(runs, shards, result.folder).rows) == 3


def test_a_run_that_saw_a_test_subject_is_refused(shards, tmp_path):
    run = make_run(tmp_path / "cheat", train=("s1", "s4"))
    with pytest.raises(BadInputError, match=r"s4.*--force"):
        evaluate([run], shards, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_degradation_is_refused(shards, tmp_path):
    other = {"degradation": {"keep": 0.25, "keep_by": "axis", "lr": "magnitude"}}
    run = make_run(tmp_path / "other", parameters=other)
    with pytest.raises(BadInputError, match="axis"):
        evaluate([run], shards, tmp_path / "out")


def test_two_runs_of_one_name_are_refused(shards, tmp_path):
    runs = [make_run(tmp_path / side / "same") for side in ("a", "b")]
    with pytest.raises(ConfigError, match="one name"):
        evaluate(runs, shards, tmp_path / "out")


def test_shards_without_test_slices_are_refused(shard_maker, tmp_path):
    folder = shard_maker(tmp_path / "data", {"a": "train", "b": "val"})
    with pytest.raises(BadInputError, match="no test slices"):
        evaluate([make_run(tmp_path / "run")], folder, tmp_path / "out")


def test_an_output_folder_with_something_else_is_refused(shards, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="not an evaluation"):
        evaluate([make_run(tmp_path / "run")], shards, tmp_path / "out")


def test_air_is_apart_and_subjects_weigh_the_same():
    def row(method, subject, air, psnr):
        return SliceRow(method, subject, "", 0, air, psnr, psnr / 100)

    rows = [
        row("lr", "a", True, float("inf")),
        *[row("lr", "a", False, 30.0)] * 3,
        row("lr", "b", False, 40.0),
        *[row("net", "a", False, 33.0)] * 3,
        row("net", "b", False, 40.0),
    ]
    volumes = [VolumeRow(m, "a", "", 4, *[1.0] * 7) for m in ("lr", "net")]
    methods = method_summaries(rows, volumes, ("psnr", "ssim"))
    lr, net = rows_of({"methods": methods})
    assert (lr.psnr, lr.n_slices, lr.n_subjects) == (35.0, 4, 2)
    assert methods["lr"]["air"]["n_slices"] == 1
    assert net.psnr_gain == 1.5
    assert "| net | 36.50 [33.00, 40.00] | +1.50 |" in table([lr, net])
