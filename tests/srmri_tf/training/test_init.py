"""Fine-tuning: what a run begins with, that it is kept, and what is refused."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError
from data_prep.files import sealed
from srmri_tf.data.dataset import Shards
from srmri_tf.evaluation import leakage
from srmri_tf.models import checkpoint
from srmri_tf.models.initial import initial
from srmri_tf.models.run import Run
from srmri_tf.models.stored import read
from srmri_tf.networks.gan import variables_by_layer
from srmri_tf.training.engine import Engine
from tests.srmri_tf.conftest import kept_as_if_killed, make_shards
from tests.srmri_tf.training import test_circle, test_fitting
from tests.srmri_tf.training.test_fitting import train

pytestmark = pytest.mark.usefixtures("small_networks")
STEP = {"epochs": 1, "steps_per_epoch": 1}


def cpce(**changes):
    return test_fitting.quick(**{"schedule": STEP, **changes})


def circle(**changes):
    return test_circle.quick(**{"schedule": STEP, **changes})


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Shards of other subjects than `shards` has, with patches for both architectures."""
    splits = {"a": "train", "b": "train", "s4": "test"}
    return make_shards(tmp_path_factory.mktemp("other") / "shards", splits, 2, patch=32)


@pytest.fixture(scope="module")
def bases(other, tmp_path_factory):
    """A run of each architecture."""
    folder = tmp_path_factory.mktemp("bases")
    train(cpce(batch_size=2, seed=5), other, folder / "cpce")
    train(circle(batch_size=2, seed=5), other, folder / "circle")
    return folder


@pytest.fixture
def begun(monkeypatch):
    """The networks' weights as training began, by network, then layer; nothing is trained."""
    seen = {}

    def train_nothing(engine):
        for name in ("generator", "degrader"):
            if network := getattr(engine.model, name, None):
                found = variables_by_layer(network).items()
                seen[name] = {key: np.array(variable) for key, variable in found}

    monkeypatch.setattr(Engine, "train", train_nothing)
    return seen


def exported_weights(run, path):
    """What `export` writes; the small networks have no layers that it could describe."""
    stored = read(run)
    described = stored.metadata().model_dump(mode="json", exclude_none=True)
    checkpoint.save(path, stored.weights, {"model": described})
    return path


def scans_of(*subjects):
    """SHA-256 of their scans, as `make_shards` makes them up."""
    return sorted(hashlib.sha256(subject.encode()).hexdigest() for subject in subjects)


def same(found, expected):
    assert found.keys() == expected.keys()
    return all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_begins_with_the_model(bases, shards, tmp_path, begun, devices):
    train(cpce(init=str(bases / "cpce")), shards, tmp_path / "run", devices=devices)
    assert same(begun["generator"], read(bases / "cpce").weights)


def test_the_run_says_what_it_began_with_and_so_does_what_is_made_of_it(bases, shards, tmp_path):
    run = train(cpce(init=str(bases / "cpce")), shards, tmp_path / "run")
    of_bases, of_shards = scans_of("a", "b"), scans_of("s1", "s2")
    expected = {
        "name": "cpce",
        "sha256": read(bases / "cpce").sha256,
        "subjects": ["a", "b"],
        "scans": of_bases,
        "networks": ["generator"],
    }
    assert run.facts()["init"] == expected
    assert run.facts()["scans"]["train"] == of_shards
    exported = read(exported_weights(run.folder, tmp_path / "tuned.npz"))
    assert exported.init.model_dump(mode="json") == expected
    again = train(cpce(init=str(tmp_path / "tuned.npz")), shards, tmp_path / "again")
    chosen_on = scans_of("s3")  # by which epoch was kept, that has shaped the weights, too
    assert again.facts()["init"]["subjects"] == ["a", "b", "s1", "s2", "s3"]
    assert again.facts()["init"]["scans"] == sorted(of_bases + of_shards + chosen_on)
    assert read(run.folder).seen().subjects == ("a", "b", "s1", "s2")


def test_a_killed_run_goes_on_to_the_same_bits_without_the_model(bases, shards, tmp_path):
    base = shutil.copytree(bases / "cpce", tmp_path / "base")
    config = cpce(init=str(base), schedule={**STEP, "warmup_epochs": 1})
    with kept_as_if_killed(tmp_path / "killed"):
        whole = train(config, shards, tmp_path / "whole")
    shutil.rmtree(base)
    resumed = train(config, shards, tmp_path / "killed" / "1")
    expected, _ = checkpoint.load(whole.checkpoint_file)
    found, _ = checkpoint.load(resumed.checkpoint_file)
    assert same(found, expected)


def test_f_is_taken_from_a_run_that_has_one(bases, other, tmp_path, begun):
    exported_weights(bases / "circle", tmp_path / "g.npz")
    arrays, _ = checkpoint.load(Run(bases / "circle").checkpoint_file, "degrader/")
    taken = {name.removeprefix("degrader/"): array for name, array in arrays.items()}
    networks = {}
    for name, base in (("run", bases / "circle"), ("export", tmp_path / "g.npz")):
        train(circle(batch_size=2, init=str(base)), other, tmp_path / name)
        assert same(begun["generator"], read(bases / "circle").weights)
        networks[name] = Run(tmp_path / name).facts()["init"]["networks"]
        assert same(begun["degrader"], taken) == (name == "run")
    assert networks == {"run": ["generator", "degrader"], "export": ["generator"]}


@pytest.mark.parametrize(
    ("config", "base", "message"),
    [
        (circle, "cpce", "is a network of cpce, not circle"),
        (cpce, "circle", "is a network of circle, not cpce"),
        (
            lambda **c: cpce(generator={"shortcut": False}, **c),
            "cpce",
            r"--set generator\.shortcut=true",
        ),
        (
            lambda **c: circle(generator={"widths": "released"}, **c),
            "circle",
            r"widths: paper in the model, released asked for\n?.*--set generator\.widths=paper",
        ),
        (lambda **c: circle(generator={"first_stride": 1}, **c), "circle", "first_stride=2"),
    ],
)
def test_another_network_is_refused_and_nothing_is_written(
    bases, other, tmp_path, config, base, message
):
    with pytest.raises(ConfigError, match=message):
        train(config(batch_size=2, init=str(bases / base)), other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there_is_refused_and_nothing_is_written(shards, tmp_path):
    with pytest.raises(BadInputError, match="absent: is not a training run"):
        train(cpce(init="absent"), shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_checkpoint_begins_with_the_same_model_only(bases, shards, tmp_path):
    run = train(cpce(init=str(bases / "cpce")), shards, tmp_path / "run")
    run.checkpoint_file.unlink()  # as if killed in the first epoch
    run.facts_file.write_text(
        json.dumps(sealed(run.facts() | {"init": run.facts()["init"] | {"sha256": "0" * 64}}))
    )
    with pytest.raises(ConfigError, match="it has changed since"):
        train(cpce(init=str(bases / "cpce")), shards, tmp_path / "run")


def test_what_the_model_was_chosen_on_must_not_be_tested_on(shards, tmp_path):
    folder = make_shards(tmp_path / "shards", {"a": "train", "v": "val"}, 4, patch=32)
    first = train(cpce(batch_size=2), folder, tmp_path / "first")
    begun = initial(cpce(init=str(first.folder)))
    assert begun.origin.subjects == ("a", "v")
    assert list(begun.origin.scans) == scans_of("a", "v")


def test_a_shipped_model_begins_alone_also_where_a_run_has_its_name(bases, tmp_path, monkeypatch):
    shutil.copytree(bases / "circle", tmp_path / "l1-x2")
    monkeypatch.chdir(tmp_path)
    recipe = {"widths": "paper", "first_stride": 2, "dropout": 0.0}
    assert not initial(circle(init="l1-x2", generator=recipe)).degrader
    assert initial(circle(init="./l1-x2")).degrader


def test_what_the_model_learnt_from_must_not_be_tested_on(bases, shards, other, tmp_path):
    run = train(cpce(init=str(bases / "cpce")), shards, tmp_path / "run")
    stored = read(run.folder)
    assert leakage.check("run", stored, Shards.open(shards), force=False) == []
    tested = make_shards(tmp_path / "tested", {"c": "train", "b": "test"}, 2, patch=32)
    with pytest.raises(BadInputError, match=r"began with cpce, which learnt from .*: b"):
        leakage.check("run", stored, Shards.open(tested), force=False)
