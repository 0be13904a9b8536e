"""The table against scikit-image, and what must not be compared."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from data_prep.errors import BadInputError, ConfigError, EnvironmentFault
from srmri_tf.evaluation import tables
from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.evaluation.scores import FeatureDistance, SliceRow, VolumeRow
from srmri_tf.evaluation.summary import figures_of
from srmri_tf.models import checkpoint
from srmri_tf.models.run import Run
from srmri_tf.networks.cpce import build_generator
from srmri_tf.networks.gan import variables_by_layer
from srmri_tf.networks.vgg19.weights import VggWeights
from srmri_tf.recipes import to_toml
from srmri_tf.recipes.config import CpceConfig
from srmri_tf.report.page import report
from tests.srmri_tf import conftest
from tests.srmri_tf.conftest import image_pair

PARAMETERS = {"degradation": {"keep": 0.25, "keep_by": "area", "lr": "magnitude"}}


def make_run(
    folder, gain=0.0, shortcut=True, train=("s1", "s2"), parameters=PARAMETERS, generator=None
):
    """A run whose generator is the identity, or black without ``shortcut``, at ``gain`` 0.

    Or one with the generator of these settings, with the weights that it begins with.
    """
    config = CpceConfig(generator=generator or {"shortcut": shortcut}, objective={"perceptual": 0})
    folder.mkdir(parents=True)
    network = build_generator(config, "float32")
    if generator is None:
        last = network.get_layer("deconv8").kernel
        last.assign(gain * last.numpy())
    arrays = {name: w.numpy() for name, w in variables_by_layer(network).items()}
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
    assert next(iter(result.document["methods"])) == "lr"
    psnr, ssim = (result.document["methods"]["lr"]["measures"][key] for key in ("psnr", "ssim"))
    assert (psnr["n_slices"], psnr["n_subjects"]) == (8, 2)
    means = psnr["mean"], ssim["mean"]
    assert means == pytest.approx(tuple(np.mean(per_subject, axis=0)), abs=1e-5)
    assert psnr["ci95"] == pytest.approx(sorted(s[0] for s in per_subject), abs=1e-5)


def test_an_identity_gains_nothing_and_a_bad_network_loses(result):
    gains = {name: method["gains"] for name, method in result.document["methods"].items()}
    assert list(gains) == ["lr", "identity", "black", "bicubic"]
    assert gains["identity"]["psnr"] == pytest.approx(0, abs=1e-5)
    assert gains["identity"]["ssim"] == pytest.approx(0, abs=1e-6)
    assert gains["black"]["psnr"] < -1
    assert gains["bicubic"]["psnr"] != 0


def test_the_files_say_the_same(result):
    metrics = json.loads((result.folder / "metrics.json").read_text())
    assert metrics["test_subjects"] == ["s4", "s5"]
    slices = list(csv.DictReader((result.folder / "slices.tsv").open(), delimiter="\t"))
    assert len(slices) == 4 * 8
    by_subject = [
        np.mean([float(s["psnr"]) for s in slices if (s["method"], s["subject"]) == ("lr", who)])
        for who in ("s4", "s5")
    ]
    assert np.mean(by_subject) == pytest.approx(
        metrics["methods"]["lr"]["measures"]["psnr"]["mean"], abs=1e-5
    )
    assert (result.folder / "table.md").read_text().startswith("| method |")
    assert result.figure.read_bytes().startswith(b"\x89PNG")


def test_evaluating_again_replaces_the_result(result, shards, tmp_path):
    shutil.copytree(result.folder, tmp_path / "out")
    runs = [result.folder.parent / "identity"]
    assert len(evaluate(runs, shards, tmp_path / "out").document["methods"]) == 3
    assert not (tmp_path / "out" / "runs" / "black").exists()


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
    with pytest.raises(ConfigError, match="not of an evaluation"):
        evaluate([make_run(tmp_path / "run")], shards, tmp_path / "out")
    (tmp_path / "out" / "thesis.tex").unlink()
    (tmp_path / "out" / "metrics.json").write_text('{"accuracy": 1}')
    with pytest.raises(ConfigError, match=r"metrics.json: is not of an evaluation of srmri-tf"):
        evaluate([tmp_path / "run"], shards, tmp_path / "out")


def test_an_evaluation_is_replaced_but_not_what_was_put_into_it(shards, tmp_path):
    config = EvaluateConfig(bicubic=False, slices="1")
    run = make_run(tmp_path / "run")
    for _ in range(2):
        evaluate([run], shards, tmp_path / "out", config)
    report(tmp_path / "out")
    evaluate([run], shards, tmp_path / "out", config)
    (tmp_path / "out" / "notes.txt").write_text("precious")
    with pytest.raises(ConfigError, match=r"such as notes\.txt"):
        evaluate([run], shards, tmp_path / "out", config)


def test_infinite_scores_are_no_reason_to_fail(shard_maker, tmp_path, monkeypatch):
    """A flat slice is its own low resolution: PSNR is infinite, its mean and interval, too."""
    flat = lambda subject, index: (np.full((32, 32), 0.5, np.float32),) * 2  # noqa: E731
    monkeypatch.setattr(conftest, "image_pair", flat)
    shards = shard_maker(tmp_path / "data", {"s1": "train", "s4": "test", "s5": "test"})
    result = evaluate([make_run(tmp_path / "run")], shards, tmp_path / "out")
    assert result.document["methods"]["lr"]["measures"]["psnr"]["mean"] == float("inf")
    assert "<article" in report(tmp_path / "out").read_text()


def test_background_is_apart_and_subjects_weigh_the_same():
    def row(method, subject, background, psnr):
        return SliceRow(method, subject, "", 0, background, psnr, psnr / 100)

    rows = [
        row("lr", "a", True, float("inf")),
        *[row("lr", "a", False, 30.0)] * 3,
        row("lr", "b", False, 40.0),
        *[row("net", "a", False, 33.0)] * 3,
        row("net", "b", False, 40.0),
    ]
    volumes = [VolumeRow(m, "a", "", 4, *[1.0] * 7) for m in ("lr", "net")]
    document = figures_of(rows, volumes, {}) | {"notes": []}
    lr, net = document["methods"]["lr"], document["methods"]["net"]
    found = lr["measures"]["psnr"]
    assert (found["mean"], found["n_slices"], found["n_subjects"]) == (35.0, 4, 2)
    assert lr["background"]["n_slices"] == 1
    assert net["gains"]["psnr"] == 1.5
    table = tables.markdown(tables.main_table(document))
    assert "| net | 36.50 [33.00, 40.00] | +1.50 |" in table


def test_a_forced_leak_is_marked_in_every_table(shards, tmp_path):
    runs = [make_run(tmp_path / "cheat", train=("s1", "s4")), make_run(tmp_path / "honest")]
    result = evaluate(runs, shards, tmp_path / "out", EvaluateConfig(force=True))
    document = json.loads((result.folder / "metrics.json").read_text())
    assert document["methods"]["cheat"]["marks"]
    assert document["methods"]["honest"]["marks"] == []
    for name in ("table.md", "table.tex"):
        text = (result.folder / name).read_text()
        assert text.count("cheat (LEAK)") >= 2
        assert "honest (LEAK)" not in text


def test_a_run_whose_best_epoch_was_chosen_on_a_test_subject_is_refused(shards, tmp_path):
    run = make_run(tmp_path / "net")
    facts = json.loads((run / "run.json").read_text())
    facts["subjects"]["val"] = ["s5"]
    (run / "run.json").write_text(json.dumps(facts))
    with pytest.raises(BadInputError, match=r"best epoch chosen on.*s5"):
        evaluate([run], shards, tmp_path / "out")


def test_every_measure_of_the_input_row(result):
    """Each against a reference that shares no code with ours."""
    found = {}
    for subject in ("s4", "s5"):
        pairs = [image_pair(subject, index) for index in range(4)]
        lrs, hrs = (np.stack(images).astype(np.float64) for images in zip(*pairs, strict=True))
        outside = np.ones((32, 32), bool)
        outside[8:24, 8:24] = False

        def high(images, outside=outside):
            spectra = np.fft.fftshift(np.fft.fft2(images), axes=(-2, -1))
            return (np.abs(spectra) ** 2)[..., outside].sum(axis=-1)

        found[subject] = {
            "nrmse": np.mean([normalized_root_mse(h, x) for x, h in zip(lrs, hrs, strict=True)]),
            "ssim_fastmri": np.mean(
                [
                    structural_similarity(h, x, data_range=hrs.max())
                    for x, h in zip(lrs, hrs, strict=True)
                ]
            ),
            "high_frequency": np.mean(high(lrs) / high(hrs)),
            "volume psnr": peak_signal_noise_ratio(hrs, lrs, data_range=1),
            "volume psnr_fastmri": peak_signal_noise_ratio(hrs, lrs, data_range=hrs.max()),
            "volume nrmse": normalized_root_mse(hrs, lrs),
            "volume high_frequency": high(lrs).sum() / high(hrs).sum(),
        }
    method = result.document["methods"]["lr"]
    for key in found["s4"]:
        mean = np.mean([values[key] for values in found.values()])
        *volume, measure = key.split()
        ours = method["volumes"][measure] if volume else method["measures"][measure]["mean"]
        assert ours == pytest.approx(mean, rel=1e-5), key


def test_every_subject_has_the_mean_of_its_own_slices(result):
    with (result.folder / "slices.tsv").open() as file:
        slices = [r for r in csv.DictReader(file, delimiter="\t") if r["background"] == "False"]
    methods = result.document["methods"]
    for name, subject in {(row["method"], row["subject"]) for row in slices}:
        mine = [float(r["ssim"]) for r in slices if (r["method"], r["subject"]) == (name, subject)]
        told = methods[name]["subjects"][subject]
        assert told["n_slices"] == len(mine)
        assert told["ssim"] == pytest.approx(np.mean(mine), abs=1e-5)
    assert "## Subject by subject" in (result.folder / "table.md").read_text()


def test_vgg_distance_is_the_features_mean_squared_difference():
    """With features that only halve the size, by hand."""
    features = keras.Sequential([keras.Input((None, None, 1)), keras.layers.AveragePooling2D(2)])
    truth = np.zeros((4, 4), np.float32)
    images = np.stack([truth + np.float32(0.5), truth])
    np.testing.assert_allclose(FeatureDistance(features)(images, truth), [0.25, 0.0])


def test_without_weights_the_column_is_absent_and_a_note_says_why(shards, tmp_path, monkeypatch):
    def unreachable(choice):
        raise EnvironmentFault("no network", remedy="Plug it in")

    monkeypatch.setattr("srmri_tf.evaluation.measuring.resolve", unreachable)
    monkeypatch.setattr("srmri_tf.evaluation.measuring.has_gpu", lambda: True)
    run = make_run(tmp_path / "net")
    result = evaluate([run], shards, tmp_path / "out", EvaluateConfig(perceptual=None))
    assert "VGG distance not measured: no network." in (tmp_path / "out" / "table.md").read_text()
    assert "vgg" not in result.document["measures"]
    assert "vgg" not in (tmp_path / "out" / "slices.tsv").read_text()
    with pytest.raises(EnvironmentFault):
        evaluate([run], shards, tmp_path / "out", EvaluateConfig(perceptual=True))


@pytest.mark.parametrize(
    ("asked", "gpus", "measured"),
    [(None, [], False), (None, ["0"], True), (False, ["0"], False), (True, [], True)],
)
def test_the_vgg_distance_is_measured_where_it_is_asked_for_or_a_gpu_is(
    shards, tmp_path, monkeypatch, asked, gpus, measured
):
    """With features that only halve the size, in place of VGG-19's."""
    features = keras.Sequential([keras.Input((None, None, 1)), keras.layers.AveragePooling2D(2)])
    weights = VggWeights(tmp_path, "file", "", 1.0, "a file", {})
    monkeypatch.setattr("srmri_tf.evaluation.measuring.has_gpu", lambda: bool(gpus))
    monkeypatch.setattr("srmri_tf.evaluation.measuring.resolve", {"file.h5": weights}.__getitem__)
    monkeypatch.setattr(
        "srmri_tf.evaluation.measuring.build_features", {weights: features}.__getitem__
    )
    config = EvaluateConfig(bicubic=False, perceptual=asked, vgg_weights="file.h5", slices="1")
    result = evaluate([make_run(tmp_path / "net")], shards, tmp_path / "out", config)
    assert ("vgg" in result.document["measures"]) == measured
    assert ("--perceptual" in result.table) == (not measured)
    if measured:
        pairs = [image_pair(who, index) for who in ("s4", "s5") for index in range(4)]
        halved = [np.subtract(*pair).reshape(16, 2, 16, 2).mean((1, 3)) for pair in pairs]
        found = result.document["methods"]["lr"]["measures"]["vgg"]["mean"]
        assert found == pytest.approx(np.mean(np.square(halved)), rel=1e-5)


def test_slices_to_look_at(result, shards, tmp_path):
    document = json.loads((result.folder / "metrics.json").read_text())
    reasons = {reason for entry in document["slices"] for reason in entry["reasons"]}
    assert {"brightest", "smallest gain of black", "largest gain of identity"} <= reasons
    run = make_run(tmp_path / "net")
    for wanted in ("s4:99", "51"):
        with pytest.raises(ConfigError, match=wanted.split(":")[0]):
            evaluate([run], shards, tmp_path / "out", EvaluateConfig(slices=wanted))


def test_json_has_no_infinities_and_differences_are_paired(result):
    text = (result.folder / "metrics.json").read_text()
    document = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert document["version"] == 5
    black = next(
        d
        for d in document["differences"]
        if (d["a"], d["b"], d["measure"]) == ("black", "lr", "psnr")
    )
    means = {
        name: method["measures"]["psnr"]["mean"] for name, method in document["methods"].items()
    }
    assert black["mean"] == pytest.approx(means["black"] - means["lr"])
    assert (black["p"], black["n_subjects"], black["n_slices"]) == (None, 2, 8)
