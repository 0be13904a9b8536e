"""Cross-validations side by side, against means worked out by NumPy."""

import json

import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from srmri_tf.evaluation.scorefiles import write_rows
from srmri_tf.evaluation.scores import SliceRow, VolumeRow
from srmri_tf.experiments.compare import compare_crossvals
from srmri_tf.report.page import report

SLICES = 5


def scores(seed):
    """PSNR of two subjects' slices: (subject, slice)."""
    return 30 + np.random.default_rng(seed).normal(size=(2, SLICES))


def make_crossval(folder, model, seed, *, shards="abc", done=2):
    """A cross-validation of two folds of one subject each, as `crossval` leaves it."""
    methods = {"lr": scores(0), model: scores(seed), f"{model}+dc": scores(seed) + 1}
    for fold in range(2):
        evaluation = folder / f"fold-{fold}" / "evaluation"
        evaluation.mkdir(parents=True)
        subject = f"s{fold}"
        slices = [
            SliceRow(name, subject, "", i, False, psnr[fold, i], 0.9, 31, 0.9, 0.1, 0.5)
            for i in range(SLICES)
            for name, psnr in methods.items()
        ]
        volumes = [
            VolumeRow(name, subject, "", SLICES, psnr[fold].mean(), 0.9, 31, 0.9, 0.1, 0.5, np.nan)
            for name, psnr in methods.items()
        ]
        write_rows(evaluation / "slices.tsv", slices, ["vgg"])
        write_rows(evaluation / "volumes.tsv", volumes, ["vgg"])
        document = {
            "version": 4,
            "parameters": {},
            "split_rule": {},
            "notes": ["VGG distance was not measured."],
            "data": {"manifest_sha256": shards, "licence": "", "test_scans": [{"sha256": subject}]},
        }
        (evaluation / "metrics.json").write_text(json.dumps(document))
    summary = {"model": model, "folds": 2, "done": list(range(done))}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def pair(tmp_path):
    return [make_crossval(tmp_path / n, m, k) for n, m, k in (("a", "cpce", 1), ("b", "circle", 2))]


@pytest.mark.parametrize("name", ["lr", "bicubic"])
def test_the_names_of_input_and_baseline_are_refused(tmp_path, name):
    folders = [make_crossval(tmp_path / n, "cpce", k) for k, n in enumerate(("a", name), 1)]
    with pytest.raises(ConfigError, match=f"is called {name}, .* Rename"):
        compare_crossvals(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_evaluation_is_not_replaced_by_it(pair, tmp_path):
    compare_crossvals(pair, tmp_path / "out")
    compare_crossvals(pair, tmp_path / "out")
    path = tmp_path / "out" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"slices": []}))
    with pytest.raises(ConfigError, match="is not of a comparison"):
        compare_crossvals(pair, tmp_path / "out")
    (tmp_path / "out" / "images.npz").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"such as images\.npz"):
        compare_crossvals(pair, tmp_path / "out")


def test_a_report_of_it_is_refused(pair, tmp_path):
    compare_crossvals(pair, tmp_path / "out")
    with pytest.raises(BadInputError, match="is a comparison: it has no pictures"):
        report(tmp_path / "out")


def test_every_network_is_a_row_under_its_folders_name(pair, tmp_path):
    table = compare_crossvals(pair, tmp_path / "out")
    assert [row[0] for row in table.rows][:5] == ["lr", "a", "a+dc", "b", "b+dc"]
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    for name, seed, more in (("lr", 0, 0), ("a", 1, 0), ("b+dc", 2, 1)):
        method = document["methods"][name]
        assert method["measures"]["psnr"]["mean"] == pytest.approx(
            scores(seed).mean() + more, abs=1e-5
        )
        counts = method["measures"]["psnr"]
        assert (counts["n_subjects"], counts["n_slices"]) == (2, 2 * SLICES)
    assert document["test_subjects"] == ["s0", "s1"]
    assert [scan["sha256"] for scan in document["data"]["test_scans"]] == ["s0", "s1"]
    assert "vgg" not in document["measures"]
    assert (tmp_path / "out" / "table.tex").is_file()


def test_differences_are_paired_slice_by_slice(pair, tmp_path):
    compare_crossvals(pair, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    (found,) = (
        d for d in document["differences"] if (d["a"], d["b"], d["measure"]) == ("b", "a", "psnr")
    )
    differences = scores(2) - scores(1)
    assert found["mean"] == pytest.approx(differences.mean(), abs=1e-5)
    assert found["ci95"] == pytest.approx(sorted(differences.mean(axis=1)), abs=1e-5)
    assert found["slice_sd"] == pytest.approx(np.std(differences, ddof=1), abs=1e-5)


def test_two_rows_of_one_name_are_refused(tmp_path):
    folders = [
        make_crossval(tmp_path / n, m, k) for n, m, k in (("C", "cpce", 1), ("C+dc", "circle", 2))
    ]
    with pytest.raises(ConfigError, match=r"two rows would be called C\+dc"):
        compare_crossvals(folders, tmp_path / "out")


def test_other_slices_are_refused(pair, tmp_path):
    other = make_crossval(tmp_path / "other", "cpce", 3, shards="xyz")
    with pytest.raises(BadInputError, match="other slices"):
        compare_crossvals([*pair, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unfinished_missing_and_twice_are_refused(pair, tmp_path):
    with pytest.raises(BadInputError, match="1 of 2 folds"):
        compare_crossvals([make_crossval(tmp_path / "c", "cpce", 1, done=1)], tmp_path / "out")
    with pytest.raises(BadInputError, match="no cross-validation"):
        compare_crossvals([tmp_path / "nothing"], tmp_path / "out")
    with pytest.raises(ConfigError, match="two cross-validations are called a"):
        compare_crossvals([pair[0], pair[0]], tmp_path / "out")
    (pair[0] / "fold-1" / "evaluation" / "metrics.json").write_text("{")
    with pytest.raises(CorruptArtefactError, match=r"metrics\.json"):
        compare_crossvals(pair, tmp_path / "out")
