"""GAN-CIRCLE against an F that is known or learnt first: its phases against plain autodiff."""

import keras
import numpy as np
import pytest
import scipy.fft
import tensorflow as tf

from data_prep.kspace import Degradation
from srmri_tf.networks import losses
from srmri_tf.networks.circle import (
    CircleCritic,
    FixedDegraderCircle,
    KspaceDegrader,
    LinearDegrader,
)
from tests.srmri_tf.networks.circle.test_model import RNG, critic, images
from tests.srmri_tf.small import SmallGenerator
from tests.srmri_tf.traced import as_built

MODELS = {}


DEGRADERS = {
    "linear": lambda: LinearDegrader((8, 8)),
    "kspace": lambda: KspaceDegrader(Degradation(), (8, 8)),
    "network": lambda: SmallGenerator(dropout=0.0),
}


def make_taught(degrader="linear", objective=None):
    """With an F that is learnt first, or known."""
    networks = SmallGenerator(dropout=0.0), DEGRADERS[degrader](), critic(), critic()
    model = FixedDegraderCircle(*networks, objective)
    model.compile(keras.optimizers.SGD(), keras.optimizers.SGD())
    return model


def taught(degrader="linear", objective=None, rates=(0.1, 0.1)):
    """The same, traced once."""
    key = degrader, str(objective)
    return as_built(MODELS, key, lambda: make_taught(degrader, objective), rates)


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("degrader", {"degrader", "critic_x", "generator_optimizer", "critic_optimizer"}),
        ("content", {"generator", "generator_optimizer"}),
        ("critic", {"critic_y", "critic_optimizer"}),
        ("adversarial", {"generator", "critic_y", "generator_optimizer", "critic_optimizer"}),
    ],
)
def test_a_taught_degrader_learns_first_and_then_stays(phase, expected):
    model = taught()
    model.phase = phase
    before = {name: v.numpy() for name, v in model.state().items()}
    model.train_step(images(2))
    moved = {n.split("/")[0] for n, v in model.state().items() if np.any(v.numpy() != before[n])}
    assert moved == expected


def test_the_degrader_phase_is_d_x_and_identity_on_x():
    x, y = images(2)
    model = taught("network", {"identity": 0.3, "adversarial": 2.0}, (0.0, 0.1))
    model.phase = "degrader"
    logs = model.train_step((x, y))
    adversarial = -tf.reduce_mean(model.critic_x(model.degrader(y)))  # after its own step
    identity = np.abs(model.degrader(x) - x).sum() / 2
    assert float(logs["generator_loss"]) == pytest.approx(
        2 * float(adversarial) + 0.3 * identity, rel=1e-4
    )


def test_with_a_known_degradation_the_warm_up_is_the_cycle_of_y():
    x, y = images(2)
    model = taught("kspace", rates=(0.0, 0.0))
    model.phase = "content"
    expected = np.abs(model.generator(model.degrader(y)) - y).sum() / 2
    found = model.train_step((x, y, tf.zeros(2)))["generator_loss"]
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_with_a_known_degradation_f_of_y_is_x_where_they_are_a_pair():
    x, y = images(4)
    weights = {"cycle": 2.0, "sparsity": 0.0, "adversarial": 3.0, "supervised": 7.0}
    model = taught("kspace", weights, rates=(0.0, 0.0))
    low = tf.concat([x[:1], model.degrader(y[1:3]), x[3:]], axis=0)
    paired = tf.constant([1.0, 0.0, 0.0, 1.0])
    cycle = np.abs(model.generator(low) - y).sum() / 4
    model.phase = "content"
    found = model.train_step((x, y, paired))["generator_loss"]
    assert float(found) == pytest.approx(cycle, rel=1e-4)
    model.phase = "adversarial"
    critic = losses.wasserstein_generator(model.critic_y(model.generator(x)))
    found = model.train_step((x, y, paired))["generator_loss"]
    assert float(found) == pytest.approx(2 * cycle + 3 * float(critic), rel=1e-4)


def test_with_a_known_degradation_all_pairs_are_known_if_none_is_named():
    x, y = images(2)
    model = taught("kspace", rates=(0.0, 0.0))
    model.phase = "content"
    expected = np.abs(model.generator(x) - y).sum() / 2
    assert float(model.train_step((x, y))["generator_loss"]) == pytest.approx(expected, rel=1e-4)


def test_a_taught_degraders_generator_step_uses_no_pair():
    x, y = images(4)
    weights = {"cycle": 2.0, "sparsity": 0.5, "adversarial": 3.0}
    model = taught("kspace", weights, rates=(0.0, 0.0))
    g, f = model.generator, model.degrader
    y_cycle = g(f(y))
    expected = (
        2 * np.abs(y_cycle - y).sum() / 4
        + 0.5 * losses.joint_sparsity(y_cycle, y, 0.1)
        + 3 * losses.wasserstein_generator(model.critic_y(g(x)))
    )
    for meets in (y, y[::-1]):
        found = model.train_step((x, meets, tf.zeros(4)))["generator_loss"]
        assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_a_linear_degrader_learns_from_d_x_what_low_resolution_lacks():
    keras.utils.set_random_seed(0)
    side, low_pass = 16, KspaceDegrader(Degradation(lr="real"), (16, 16), mirror=False)
    networks = [SmallGenerator(dropout=0.0), LinearDegrader((side, side))]
    networks += [CircleCritic("local", (side, side), name=f"critic_{of}") for of in "yx"]
    model = FixedDegraderCircle(*networks, {"identity": 0.1})
    model.compile(*(keras.optimizers.Adam(2e-3, beta_1=0.5, beta_2=0.9) for _ in range(2)))
    model.phase = "degrader"
    step = tf.function(model.train_step)
    for _ in range(150):
        noise = tf.constant(RNG.standard_normal((2, 16, side, side, 1)), tf.float32)
        step((low_pass(noise[0]), noise[1]))
    for response in model.degrader.responses():
        assert np.mean(response[: side // 2 - 2]) > 0.9
        assert np.mean(response[side // 2 + 2 :]) < 0.6


def test_g_learns_against_a_filter_that_has_decided():
    x, y = images(2)
    model = taught(rates=(0.0, 0.0))
    # A tenth of the next is left, and of the last, where an image has nothing, all.
    model.degrader.weights[0].assign([0.0] * 4 + [-0.9 / 16] * 3 + [0.0])
    model.phase = "content"
    decided = model.degrader(y, decided=True)
    waves = scipy.fft.dct(np.eye(8), axis=0, norm="ortho")
    low_pass = waves[:4].T @ waves[:4]
    expected = np.abs(low_pass @ y[..., 0].numpy())
    np.testing.assert_allclose(decided[..., 0], expected, atol=1e-5)
    expected = np.abs(model.generator(decided) - y).sum() / 2
    found = model.train_step((x, y, tf.zeros(2)))["generator_loss"]
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("phase", [pytest.param("degrader", marks=pytest.mark.slow), "adversarial"])
def test_a_taught_degrader_takes_the_same_steps_on_two_devices(phase):
    data = tf.data.Dataset.from_tensor_slices(images(8)).batch(4, drop_remainder=True)
    weights = []
    for count in (1, 2):
        devices = [d.name for d in tf.config.list_logical_devices("CPU")[:count]]
        keras.utils.set_random_seed(0)
        with tf.distribute.MirroredStrategy(devices).scope():
            # F begins as the identity, where the gradient of |F(x) - x| is the sign of rounding.
            model = make_taught(objective={"identity": 0.0})
        for optimizer, rate in zip(model.optimizers(), (1e-4, 1e-2), strict=True):
            optimizer.learning_rate.assign(rate)
        model.phase = phase
        model.fit(data, shuffle=False, verbose=0)
        weights.append([v.numpy() for n, v in model.state().items() if "optimizer" not in n])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)
