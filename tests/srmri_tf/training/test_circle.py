"""GAN-CIRCLE in the engine: every mode, resuming to the bit, refusals, evaluation's generator."""

import io
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from data_prep.errors import BadInputError, ConfigError
from srmri_tf.data.dataset import Shards
from srmri_tf.models import checkpoint
from srmri_tf.models.exporting import export
from srmri_tf.models.resume import is_finished
from srmri_tf.models.run import Run
from srmri_tf.models.stored import read
from srmri_tf.networks import circle
from srmri_tf.networks.circle import CircleCritic, CircleGenerator, building
from srmri_tf.networks.gan import variables_by_layer
from srmri_tf.recipes.config import CircleConfig
from srmri_tf.training.engine import Engine
from srmri_tf.training.fitting import fit
from tests.srmri_tf.conftest import kept_as_if_killed, make_shards, without_checksums
from tests.srmri_tf.models.test_exporting import without_checks

QUICK = {
    "batch_size": 4,
    "critic": {"form": "four_stage"},
    "schedule": {"epochs": 1, "warmup_epochs": 1, "critic_epochs": 1, "steps_per_epoch": 2},
    "validation": {"max_slices": 1},
}
SEMI = {"mode": "semi", "paired_fraction": 0.25, "optimizer": {"generators": "muon"}}
TERMS = ("cycle", "identity", "sparsity", "supervised", "adversarial", "gradient_penalty_x")


def quick(**changes):
    return CircleConfig.model_validate({**QUICK, **changes})


def train(config, shards, run, devices=1):
    return fit(config, shards, run, devices=devices, console=Console(file=io.StringIO()))


def history(run):
    return checkpoint.load(run.checkpoint_file)[1]["history"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    splits = {"a": "train", "b": "train", "c": "train", "v": "val", "t": "test"}
    return make_shards(tmp_path_factory.mktemp("circle") / "shards", splits, 4, patch=32)


@pytest.fixture(scope="module")
def asked():
    """What `semi` asked the shards for: the share of known pairs, and the parts of a sample."""
    return []


@pytest.fixture(scope="module")
def semi(small_networks, asked, killed, folder, tmp_path_factory):
    pairs = Shards.pairs

    def record(self, *args, **kwargs):
        data, steps = pairs(self, *args, **kwargs)
        if "known_only" in kwargs:
            asked.append((kwargs["paired_share"], len(data.element_spec)))
        return data, steps

    with kept_as_if_killed(killed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shards, "pairs", record)
        return train(quick(**SEMI), folder, tmp_path_factory.mktemp("runs") / "semi")


def test_a_run_has_every_phase_and_term(semi):
    rows = history(semi)
    assert [row["phase"] for row in rows] == ["content", "critic", "adversarial"]
    assert all(np.isfinite(rows[-1][term]) for term in TERMS)
    assert json.loads(semi.facts_file.read_text())["vgg"] == "not used"


@pytest.mark.parametrize("epochs", [1, 2])  # after the warm-up, and after the critics learnt
def test_a_run_that_was_killed_goes_on_to_the_same_bits(semi, killed, folder, tmp_path, epochs):
    # With dropout, penalties and semi-supervised data: nothing may depend on what was before.
    shutil.copytree(killed / str(epochs), tmp_path / "run")
    assert [row["epoch"] for row in history(Run(tmp_path / "run"))] == list(range(1, epochs + 1))
    resumed = train(quick(**SEMI), folder, tmp_path / "run")
    expected, _ = checkpoint.load(semi.checkpoint_file)
    found, _ = checkpoint.load(resumed.checkpoint_file)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(
    "mode", [pytest.param("supervised", marks=pytest.mark.slow), "unsupervised"]
)
def test_the_other_modes_train_from_the_same_shards(small_networks, folder, tmp_path, mode):
    schedule = {"epochs": 1, "steps_per_epoch": 1}
    (row,) = history(train(quick(mode=mode, schedule=schedule), folder, tmp_path / "run"))
    assert (row["supervised"] > 0) == (mode == "supervised")
    assert row["identity"] > 0


def test_a_finished_run_from_before_f_could_be_taught_is_finished(semi, folder, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(semi.folder, run.folder)
    lines = run.config_file.read_text().splitlines()
    before = [line for line in lines if not line.startswith("degrader")]
    assert len(before) == len(lines) - 2
    run.config_file.write_text("\n".join(before) + "\n")
    without_checksums(run.folder)
    assert is_finished(run, quick(**SEMI), folder)


TAUGHT = {
    "linear": {"mode": "unsupervised", "degrader": "linear"},
    "kspace": {"mode": "unsupervised", "degrader": "kspace"},
}


def with_a_taught_degrader(degrader):
    taught = int(degrader == "linear")
    schedule = {**QUICK["schedule"], "degrader_epochs": taught}
    return quick(**TAUGHT[degrader], schedule=schedule, validation={"monitor": "last"})


@pytest.mark.parametrize("degrader", ["linear", pytest.param("kspace", marks=pytest.mark.slow)])
def test_a_taught_degrader_has_its_phases_and_goes_on_to_the_same_bits(
    small_networks, folder, tmp_path, degrader
):
    config = with_a_taught_degrader(degrader)
    with kept_as_if_killed(tmp_path / "killed"):
        run = train(config, folder, tmp_path / "run")
    names = ["degrader"] * (degrader == "linear") + ["content", "critic", "adversarial"]
    assert [row["phase"] for row in history(run)] == names
    expected, _ = checkpoint.load(run.checkpoint_file)
    for epochs in (1, 2):
        killed = tmp_path / "killed" / str(epochs)
        found, _ = checkpoint.load(train(config, folder, killed).checkpoint_file)
        assert expected.keys() == found.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_a_known_degradation_is_that_of_the_shards(small_networks, folder, tmp_path, monkeypatch):
    seen = []
    build = circle.build

    def record(*args):
        seen.append(args[-1])
        return build(*args)

    monkeypatch.setattr(circle, "build", record)
    monkeypatch.setattr(Engine, "train", lambda self: None)
    train(with_a_taught_degrader("kspace"), folder, tmp_path / "run")
    assert seen == [Shards.open(folder).manifest.parameters.degradation]


def test_a_semi_supervised_warm_up_sees_known_pairs_alone(semi, asked):
    # Content phase: plain pairs; then the critics' and the joint phase: x, y and whether a pair.
    assert asked == [(0.25, 2), (0.25, 3), (0.25, 3)]


@pytest.mark.parametrize(
    ("mode", "fraction", "weight"), [("supervised", None, 3), ("semi", 0.25, 12)]
)
def test_the_supervised_term_is_a_mean_over_known_pairs(small_networks, mode, fraction, weight):
    config = quick(mode=mode, paired_fraction=fraction, objective={"supervised": 3.0})
    model = circle.build(config, (32, 32), None, "float32")
    assert model.objective.supervised == pytest.approx(weight)


def test_the_best_generator_is_g(semi):
    arrays, _ = checkpoint.load(semi.checkpoint_file)
    for name, weight in variables_by_layer(read(semi.folder).generator()).items():
        np.testing.assert_array_equal(weight, arrays[f"generator/{name}"])


def test_small_patches_are_refused_before_anything_is_written(shards, tmp_path):
    with pytest.raises(ConfigError, match="16x16; this model takes at least 17x17"):
        train(quick(), shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "config",
    [quick(mode="semi"), quick(mode="unsupervised"), quick(**TAUGHT["kspace"])],
    ids=["semi", "unsupervised", "kspace"],
)
def test_one_subject_cannot_be_unpaired_and_nothing_is_written(shard_maker, tmp_path, config):
    folder = shard_maker(tmp_path / "x", {"a": "train", "v": "val"}, 4, patch=32)
    with pytest.raises(BadInputError, match="different subjects"):
        train(config, folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_and_two_devices_see_the_same_run(semi, folder, tmp_path):
    two = train(quick(**SEMI), folder, tmp_path / "two", devices=2)
    for one, other in zip(history(semi), history(two), strict=True):
        for term in ("critic_loss", "generator_loss", *TERMS):
            if term in one:
                assert other[term] == pytest.approx(one[term], rel=2e-2, abs=1e-3), term


@pytest.mark.slow
def test_the_whole_model_trains_and_is_exported(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "CircleGenerator", CircleGenerator)
    monkeypatch.setattr(building, "CircleCritic", CircleCritic)
    schedule = {"epochs": 1, "steps_per_epoch": 1}
    run = train(quick(schedule=schedule), folder, tmp_path / "run")
    lr = np.random.default_rng(0).random((1, 21, 34, 1), np.float32)
    without_checks(monkeypatch)  # of export's own, as this test makes one
    out = export(run.folder, tmp_path / "model")
    signature = tf.saved_model.load(str(out)).signatures["serving_default"]
    np.testing.assert_allclose(signature(lr=lr)["sr"], read(run.folder).generator()(lr), atol=1e-5)
