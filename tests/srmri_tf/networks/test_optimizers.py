"""Muon on kernels of convolutions, against NumPy's singular value decomposition."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.optimizers import ConvolutionMuon, make_optimizers
from srmri_tf.recipes.config import CpceConfig

RATE = 0.01


def stepped(shape, gradient, devices=1, scaled=False):
    """What one step of Muon adds to a variable of zeros, on so many devices."""
    names = [device.name for device in tf.config.list_logical_devices("CPU")[:devices]]
    strategy = tf.distribute.MirroredStrategy(names)
    with strategy.scope():
        variable = keras.Variable(np.zeros(shape, np.float32))
        optimizer = ConvolutionMuon(RATE)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build([variable])

    def replica():
        part = tf.identity(gradient) / devices  # optimisers sum over replicas
        optimizer.apply([optimizer.scale_loss(part)], [variable])

    tf.function(lambda: strategy.run(replica), autograph=False)()
    return np.asarray(variable)


@pytest.mark.parametrize("shape", [(3, 3, 4, 8), (3, 3, 8, 4), (1, 1, 4, 12), (1, 1, 12, 4)])
@pytest.mark.parametrize(("devices", "scaled"), [(1, False), (2, False), (1, True)])
def test_every_direction_of_a_hidden_kernel_is_learnt_at_about_the_same_rate(
    shape, devices, scaled
):
    gradient = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    gradient *= np.logspace(-1, 0, shape[-1], dtype=np.float32)  # some are ten times as steep
    left, steepness, right = np.linalg.svd(gradient.reshape(-1, shape[-1]), full_matrices=False)
    assert steepness[0] > 5 * steepness[-1]

    change = stepped(shape, gradient, devices, scaled).reshape(-1, shape[-1])

    rates = -left.T @ change @ right.T / (RATE * 0.6 * np.sqrt(max(change.shape)))
    np.testing.assert_allclose(rates, np.diag(np.diag(rates)), atol=1e-3)
    assert np.all((np.diag(rates) > 0.6) & (np.diag(rates) < 1.3)), np.diag(rates)


@pytest.mark.parametrize("shape", [(8,), (5, 6), (3, 3, 1, 8), (3, 3, 8, 1)])
def test_all_other_weights_take_the_step_of_adam(shape):
    gradient = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(stepped(shape, gradient), -RATE * np.sign(gradient), rtol=1e-2)


def test_weight_decay_shrinks_the_kernels_of_muon_alone():
    config = CpceConfig(optimizer={"generators": "muon", "weight_decay": 0.25})
    muon, _ = make_optimizers(config, "float32")
    shapes = (3, 3, 4, 8), (3, 3, 1, 8), (8,)
    variables = [keras.Variable(np.ones(shape, np.float32)) for shape in shapes]
    muon.build(variables)
    muon.learning_rate = 0.5
    muon.apply([tf.zeros(shape) for shape in shapes], variables)
    for variable, left in zip(variables, (1 - 0.5 * 0.25, 1, 1), strict=True):
        np.testing.assert_allclose(variable, np.full(variable.shape, left), rtol=1e-6)


def test_weight_decay_is_refused_without_muon():
    said = r"optimizer\.weight_decay is for optimizer\.generators = 'muon'"
    with pytest.raises(ValueError, match=said):
        CpceConfig(optimizer={"weight_decay": 0.1})


def test_a_saved_optimiser_takes_the_same_steps():
    config = keras.optimizers.serialize(ConvolutionMuon(RATE, rms_rate=0.3, adam_beta_1=0.5))
    again = keras.optimizers.deserialize(config)
    assert isinstance(again, ConvolutionMuon)
    assert (again.rms_rate, again.adam_beta_1, again.weight_decay) == (0.3, 0.5, None)


def test_a_recipe_chooses_the_optimiser_of_its_generators_and_never_that_of_its_critics():
    for name, kind in (("adam", keras.optimizers.Adam), ("muon", ConvolutionMuon)):
        config = CpceConfig.model_validate({"optimizer": {"generators": name, "ema": 0.5}})
        generators, critics = make_optimizers(config, "float32")
        assert type(generators) is kind
        assert (generators.use_ema, generators.ema_momentum) == (True, 0.5)
        assert type(critics) is keras.optimizers.Adam
        assert not critics.use_ema
