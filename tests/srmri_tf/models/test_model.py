"""One network, whatever it is kept in."""

import json

import numpy as np
import pytest

from data_prep.errors import BadInputError, CorruptArtefactError
from srmri_tf.models import checkpoint
from srmri_tf.models.model import load_network
from srmri_tf.models.run import Run
from srmri_tf.models.stored import meaning, read, tiling
from srmri_tf.networks.gan import variables_by_layer
from srmri_tf.networks.registry import MODELS
from srmri_tf.recipes import to_toml
from srmri_tf.recipes.config import CircleConfig, CpceConfig
from tests.srmri_tf.evaluation.test_measuring import PARAMETERS, make_run

RNG = np.random.default_rng(0)


def make_circle_run(folder, **generator):
    """A RUN of GAN-CIRCLE with random weights and biases."""
    config = CircleConfig(generator=generator)
    network = MODELS["circle"].build_generator(config, "float32")
    arrays = {
        name: np.float32(0.1) * RNG.standard_normal(v.shape).astype(np.float32)
        for name, v in variables_by_layer(network).items()
    }
    folder.mkdir(parents=True)
    run = Run(folder)
    checkpoint.save(run.best_file, arrays, {})
    run.config_file.write_text(to_toml(config))
    run.facts_file.write_text(json.dumps({"parameters": PARAMETERS, "subjects": {}}))
    return folder


def test_a_run_is_a_network(tmp_path):
    run = make_run(tmp_path / "run", gain=1.0)
    network = load_network(run)
    assert (network.name, network.architecture, network.halo, network.multiple) == (
        "run",
        "cpce",
        8,
        1,
    )
    assert network.degradation.keep == 0.25
    assert network.card is None
    lr = RNG.random((3, 21, 34), np.float32)
    expected = read(run).generator()(lr[..., None]).numpy()[..., 0]
    np.testing.assert_allclose(network.super_resolve(lr), expected, atol=1e-6)
    assert load_network(run).sha256 == network.sha256
    assert load_network(make_run(tmp_path / "b" / "run", gain=1.0)).sha256 != network.sha256


def test_a_run_with_numbered_arrays_opens(tmp_path):
    """As they were kept before layers' names were."""
    run = Run(make_run(tmp_path / "run", gain=1.0))
    named = run.weights()
    former = [*(f"conv{i}" for i in (1, 2, 3, 4)), *(f"deconv{i}" for i in (5, 6, 7))]
    former += [*(f"squeeze{i}" for i in (5, 6, 7)), "deconv8"]
    numbered = {f"{i:03d}": named[f"{layer}/kernel"] for i, layer in enumerate(former)}
    sha256 = load_network(run.folder).sha256
    checkpoint.save(run.best_file, numbered, {})
    assert load_network(run.folder).sha256 == sha256
    del numbered["000"], numbered["001"]
    checkpoint.save(run.best_file, {"000": named["conv1/kernel"], **numbered}, {})
    with pytest.raises(CorruptArtefactError, match="another model"):
        load_network(run.folder)


def test_weights_of_another_form_are_refused(tmp_path):
    run = Run(make_run(tmp_path / "run"))
    checkpoint.save(run.best_file, {**run.weights(), "conv9/kernel": np.zeros(3)}, {})
    for opened in (read(run.folder).generator, lambda: load_network(run.folder)):
        with pytest.raises(CorruptArtefactError, match=r"another model: conv9/kernel"):
            opened()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "does not say which degradation"),
        ({"degradation": {"keep": 0.25, "keep_by": "axis"}}, r"0\.25 of k-space by axis"),
        ({"degradation": {"keep": 0.5, "keep_by": "area"}}, r"0\.5 of k-space by area"),
    ],
)
def test_a_degradation_that_is_unknown_or_not_twofold_is_refused(tmp_path, parameters, message):
    run = make_run(tmp_path / "run", parameters=parameters)
    with pytest.raises(BadInputError, match=message):
        load_network(run)


def test_half_of_each_axis_is_a_quarter_of_the_area(tmp_path):
    run = make_run(tmp_path / "run", parameters={"degradation": {"keep": 0.5, "keep_by": "axis"}})
    assert load_network(run).degradation.keep_by == "axis"


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({}))
    for path in (tmp_path, tmp_path / "config.json", tmp_path / "absent"):
        with pytest.raises(BadInputError, match="not a training run"):
            load_network(path)


@pytest.mark.parametrize(
    "config",
    [
        CpceConfig(generator={"shortcut": True}),
        CircleConfig(),
        CircleConfig(generator={"first_stride": 1}),
    ],
    ids=["cpce", "circle", "circle at full size"],
)
def test_the_halo_is_exactly_as_far_as_the_network_looks(config):
    """One pixel is changed: what changes in the result lies within the halo, and reaches it."""
    halo, multiple = tiling(config.model, meaning(config))
    generator = MODELS[config.model].build_generator(config, "float32")
    for variable in generator.variables:  # all positive: no ReLU hides a dependence
        variable.assign(np.full(variable.shape, 1 / np.prod(variable.shape[:-1]), np.float32))
    found = 0
    for shift in range(multiple):
        where = 48 + shift
        image = np.ones((1, 96, 96, 1), np.float32)
        changed = image.copy()
        changed[0, where, where] = 1e6
        difference = np.abs(generator(changed).numpy() - generator(image).numpy())[0, ..., 0]
        rows, columns = np.nonzero(difference)
        found = max(found, *(abs(rows - where)), *(abs(columns - where)))
    assert found == halo
