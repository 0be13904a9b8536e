"""`evaluate --consistency`: what putting the measured samples back does to a run's figures."""

import json

import keras
import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.signal import resample
from skimage.metrics import peak_signal_noise_ratio

from data_prep.errors import ConfigError
from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.models.stored import read
from srmri_tf.networks.registry import super_resolver
from srmri_tf.report.page import report
from tests.srmri_tf.cli.test_cli import run
from tests.srmri_tf.conftest import SIDE, image_pair, make_shards
from tests.srmri_tf.evaluation.test_measuring import make_run


@pytest.fixture(scope="module")
def result(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("consistency")
    keras.utils.set_random_seed(0)
    runs = [make_run(folder / "identity"), make_run(folder / "net", gain=1.0)]
    return evaluate(runs, shards, folder / "out", EvaluateConfig(consistency=True))


def mean_psnr(result, name):
    return result.document["methods"][name]["measures"]["psnr"]["mean"]


def taken(enhanced: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """A network's output where it changes no pixel around by twice what the image varies."""
    varies = maximum_filter(lr, 9) - minimum_filter(lr, 9)
    beyond = np.abs(enhanced - lr) > 2 * varies + 0.01
    return np.where(maximum_filter(beyond, 9), lr, enhanced)


def put_back(enhanced: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """Frequencies -7 ... 7 of 32 are measured, as a magnitude whose signs the image knows."""
    inside = np.abs(np.fft.fftfreq(SIDE) * SIDE) < SIDE // 4
    box = np.logical_and.outer(inside, inside)
    low = np.fft.ifft2(np.where(box, np.fft.fft2(enhanced), 0)).real
    signed = np.where(low < 0, -lr, lr)
    return np.fft.ifft2(np.where(box, np.fft.fft2(signed), np.fft.fft2(enhanced))).real


def test_a_row_more_for_every_run_measured_as_numpy_does(result):
    assert list(result.document["methods"]) == [
        "lr",
        "identity",
        "identity+dc",
        "net",
        "net+dc",
        "bicubic",
    ]
    super_resolve = super_resolver(read(result.folder.parent / "net").generator())
    means = []
    for subject in ("s4", "s5"):
        pairs = [image_pair(subject, index) for index in range(4)]
        enhanced = super_resolve(np.stack([lr for lr, _ in pairs]))
        scores = [
            peak_signal_noise_ratio(hr, put_back(taken(s, lr), lr), data_range=1)
            for s, (lr, hr) in zip(enhanced, pairs, strict=True)
        ]
        means.append(np.mean(scores))
    assert mean_psnr(result, "net+dc") == pytest.approx(np.mean(means), abs=1e-4)
    assert abs(mean_psnr(result, "net+dc") - mean_psnr(result, "net")) > 0.01


def test_of_coarse_magnitudes_the_scans_own_pixels_are_put_back(tmp_path):
    shards = make_shards(tmp_path / "shards", {"s1": "train", "s4": "test"})
    coarse = {"degradation": {"keep": 0.25, "keep_by": "area", "lr": "coarse"}}
    manifest = json.loads((shards / "manifest.json").read_text())
    manifest["parameters"] |= coarse
    (shards / "manifest.json").write_text(json.dumps(manifest))
    network = make_run(tmp_path / "net", gain=1.0, train=["s1"], parameters=coarse)
    result = evaluate([network], shards, tmp_path / "out", EvaluateConfig(consistency=True))
    pairs = [image_pair("s4", index) for index in range(4)]
    scores = []
    super_resolved = super_resolver(read(network).generator())(np.stack([lr for lr, _ in pairs]))
    for output, (lr, hr) in zip(super_resolved, pairs, strict=True):
        enhanced = taken(output, lr)
        low = resample(resample(enhanced, SIDE // 2, axis=0), SIDE // 2, axis=1)
        missing = np.where(low < 0, -1, 1) * lr[::2, ::2] - low
        image = enhanced + resample(resample(missing, SIDE, axis=0), SIDE, axis=1)
        scores.append(peak_signal_noise_ratio(hr, image, data_range=1))
    assert mean_psnr(result, "net+dc") == pytest.approx(np.mean(scores), abs=1e-4)


def test_an_implausible_answer_is_not_taken(tmp_path):
    shards = make_shards(tmp_path / "shards", {"s1": "train", "s4": "test"})
    keras.utils.set_random_seed(0)
    wild = make_run(tmp_path / "wild", gain=30.0, train=["s1"])
    result = evaluate([wild], shards, tmp_path / "out", EvaluateConfig(consistency=True))
    assert mean_psnr(result, "wild") < 0
    assert mean_psnr(result, "wild+dc") > mean_psnr(result, "lr") - 1


def test_a_leak_is_marked_in_both_rows(shards, tmp_path):
    cheat = make_run(tmp_path / "cheat", train=("s1", "s4"))
    config = EvaluateConfig(consistency=True, force=True, bicubic=False)
    document = evaluate([cheat], shards, tmp_path / "out", config).document
    marks = [document["methods"][name]["marks"] for name in ("cheat", "cheat+dc")]
    assert marks[0] == marks[1] != []


def test_a_run_of_that_name_is_refused(shards, tmp_path):
    runs = [make_run(tmp_path / "net"), make_run(tmp_path / "net+dc")]
    with pytest.raises(ConfigError, match="one name"):
        evaluate(runs, shards, tmp_path / "out", EvaluateConfig(consistency=True))


def test_the_report_has_the_row_and_no_empty_settings(result):
    page = report(result.folder).read_text()
    assert "net+dc" in page
    assert "<summary>Run net:" in page
    assert "<summary>Run net+dc:" not in page


def test_the_command(shards, tmp_path, capsys):
    network = make_run(tmp_path / "net")
    arguments = ("evaluate", network, shards, "-o", tmp_path / "eval")
    assert run(*arguments, "--consistency") == 0
    assert "| net+dc |" in capsys.readouterr().out
    assert run(*arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["result"]["metrics"] == json.loads((tmp_path / "eval/metrics.json").read_text())


def test_of_one_contrast(tmp_path, capsys):
    shards = make_shards(tmp_path / "shards", {"s1": "train", "s4": "test", "s5": "test"})
    manifest = json.loads((shards / "manifest.json").read_text())
    for shard, contrast in zip(manifest["shards"], ("T1", "T1", "T2"), strict=True):
        shard["contrast"] = contrast
    (shards / "manifest.json").write_text(json.dumps(manifest))
    network = make_run(tmp_path / "net")
    arguments = ("evaluate", network, shards, "-o", tmp_path / "eval", "--contrast", "T1")
    assert run(*arguments, "--json") == 0
    metrics = json.loads(capsys.readouterr().out)["result"]["metrics"]
    assert list(metrics["methods"]["net"]["subjects"]) == ["s4"]
    assert "Only test scans of contrast T1." in metrics["notes"]
