"""GAN-CIRCLE's training step against plain autodiff."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep.kspace import Degradation
from srmri_tf.networks import losses
from srmri_tf.networks.circle import (
    Circle,
    CircleCritic,
    CircleGenerator,
    build,
    interleave,
    separate,
)
from srmri_tf.networks.degraders import KspaceDegrader, LinearDegrader
from srmri_tf.recipes.config import CircleConfig, CircleObjective
from tests.srmri_tf.small import SmallCritic, SmallGenerator

RNG = np.random.default_rng(0)


def critic():
    return SmallCritic(patch=(8, 8))


def circle(objective=None, kind=SmallGenerator, rates=(0.1, 0.1), seed=3):
    networks = [kind(dropout=0.0) for _ in "GF"] + [critic() for _ in "YX"]
    model = Circle(*networks, objective, seed=seed)
    model.compile(*(keras.optimizers.SGD(rate) for rate in rates))
    return model


def images(count, side=8):
    x, y = RNG.random((2, count, side, side, 1), np.float32)
    return tf.constant(x), tf.constant(y)


def test_every_pass_and_step_of_training_drops_something_else():
    seen = []

    class Spy(SmallGenerator):
        def call(self, lr, training=False, noise=None):
            if noise is not None:  # as it is while the network is made
                tf.numpy_function(lambda noise: seen.append(tuple(noise.tolist())), [noise], [])
            return super().call(lr, training, noise)

    networks = [Spy() for _ in "GF"]
    model = Circle(*networks, critic(), critic())
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    for phase in ("content", "critic", "adversarial", "adversarial"):
        model.phase = phase
        model.train_step(images(2))
    assert len(seen) == len(set(seen)) == 2 + 2 + 4 + 4


def reference_terms(model, x, y, paired):
    """Equation by equation, each network called on each batch by itself."""
    g, f = model.generator, model.degrader

    def l1(a, b):
        return tf.reduce_sum(tf.abs(a - b), axis=(1, 2, 3))

    def sparsity(sr):
        variation = tf.image.total_variation
        return 0.1 * variation(sr) + 0.9 * variation(y - sr)

    flags = tf.constant(paired, tf.float32)
    terms = {
        "cycle": l1(f(g(x)), x) + l1(g(f(y)), y),
        "identity": l1(g(y), y) + l1(f(x), x),
        "sparsity": flags * sparsity(g(x)) + (1 - flags) * sparsity(g(y)),
        "supervised": flags * (l1(g(x), y) + l1(f(y), x)),
        "adversarial": -model.critic_y(g(x))[:, 0] - model.critic_x(f(y))[:, 0],
    }
    return {name: tf.reduce_mean(term) for name, term in terms.items()}


@pytest.mark.parametrize(
    ("kind", "paired"),
    [
        (SmallGenerator, (1, 1, 1, 1)),
        (SmallGenerator, (0, 0, 0, 0)),
        (SmallGenerator, (1, 0, 0, 1)),
        (CircleGenerator, (1, 0, 0, 1)),
    ],
)
def test_generator_step_is_the_gradient_of_the_weighted_terms(kind, paired):
    x, y = images(4)
    weights = {"adversarial": 5.0, "cycle": 1.0, "identity": 0.5, "sparsity": 0.3}
    objective = CircleObjective(**weights, supervised=2.0)
    model = circle(objective, kind, rates=(1e-4, 0.0))
    variables = model.generator.trainable_variables + model.degrader.trainable_variables
    before = [v.numpy() for v in variables]
    with tf.GradientTape() as tape:
        terms = reference_terms(model, x, y, paired)
        expected = sum(getattr(objective, name) * term for name, term in terms.items())
    gradients = tape.gradient(expected, [v.value for v in variables])
    data = (x, y) if all(paired) else (x, y, tf.constant(paired, tf.float32))
    logs = model.train_step(data)
    for name, term in terms.items():
        assert float(logs[name]) == pytest.approx(float(term), rel=1e-4, abs=1e-5), name
    assert float(logs["generator_loss"]) == pytest.approx(float(expected), rel=1e-4)
    for old, gradient, new in zip(before, gradients, variables, strict=True):
        scale = np.abs(gradient).max() * 1e-4
        np.testing.assert_allclose(new, old - 1e-4 * gradient, rtol=1e-3, atol=1e-3 * scale + 1e-7)


def test_critic_step_is_the_gradient_of_both_wasserstein_losses():
    x, y = images(4)
    model = circle(rates=(0.0, 0.01))
    variables = model.critic_y.trainable_variables + model.critic_x.trainable_variables
    before = [v.numpy() for v in variables]
    fakes = {"y": model.generator(x), "x": model.degrader(y)}
    with tf.GradientTape() as tape:
        expected = 0.0
        for which, (critic_, real) in enumerate([(model.critic_y, y), (model.critic_x, x)]):
            fake = fakes["yx"[which]]
            alpha = tf.random.stateless_uniform([4, 1, 1, 1], [3, which])
            between = alpha * real + (1 - alpha) * fake
            with tf.GradientTape() as inner:
                inner.watch(between)
                scores = critic_(between)
            slope = inner.gradient(scores, between)
            norm = tf.sqrt(tf.reduce_sum(slope**2, axis=(1, 2, 3)))
            expected += tf.reduce_mean(critic_(fake)) - tf.reduce_mean(critic_(real))
            expected += 10 * tf.reduce_mean((norm - 1) ** 2)
    gradients = tape.gradient(expected, [v.value for v in variables])
    logs = model.train_step((x, y))
    assert float(logs["critic_loss"]) == pytest.approx(float(expected), rel=1e-4)
    for old, gradient, new in zip(before, gradients, variables, strict=True):
        np.testing.assert_allclose(new, old - 0.01 * gradient.numpy(), rtol=1e-3, atol=1e-6)


def test_the_generators_step_sees_the_critics_after_theirs():
    x, y = images(2)
    model = circle(rates=(0.0, 0.1))
    logs = model.train_step((x, y))
    after = -tf.reduce_mean(model.critic_y(model.generator(x))) - tf.reduce_mean(
        model.critic_x(model.degrader(y))
    )
    assert float(logs["adversarial"]) == pytest.approx(float(after), rel=1e-4)


def test_supervised_weight_zero_is_the_printed_equation():
    logs = circle(CircleObjective(supervised=0.0), rates=(0.0, 0.0)).train_step(images(2))
    expected = logs["adversarial"] + logs["cycle"] + 0.5 * logs["identity"]
    expected += 0.001 * logs["sparsity"]
    assert float(logs["generator_loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_the_critic_phase_moves_the_critics_alone():
    model = circle()
    model.phase = "critic"
    before = {name: v.numpy() for name, v in model.state().items()}
    logs = model.train_step(images(2))
    moved = {n.split("/")[0] for n, v in model.state().items() if np.any(v.numpy() != before[n])}
    assert moved == {"critic_y", "critic_x", "critic_optimizer"}
    assert "generator_loss" not in logs


@pytest.mark.parametrize("paired", [(1, 1), (0, 0), (1, 0)])
def test_the_content_phase_is_l1_of_each_generator_to_its_target(paired):
    x, y = images(2)
    model = circle(rates=(0.0, 0.0))
    model.phase = "content"
    logs = model.train_step((x, y, tf.constant(paired, tf.float32)))
    g, f = model.generator, model.degrader
    known = np.array(paired).reshape(2, 1, 1, 1)
    sr, lr = np.where(known, g(x), g(y)), np.where(known, f(y), f(x))
    expected = (np.abs(sr - y).sum() + np.abs(lr - x).sum()) / 2
    assert float(logs["supervised"]) == pytest.approx(expected, rel=1e-4)


def test_the_content_phase_leaves_the_critics_alone_and_learns():
    x, y = images(8)
    config = CircleConfig(critic={"form": "four_stage"}, generator={"dropout": 0.0})
    model = build(config, (32, 32), None, "float32")
    model.phase = "content"
    before = model.critic_y.get_weights() + model.critic_x.get_weights()
    model.generator_optimizer.learning_rate.assign(1e-3)
    first = float(model.train_step((x, y))["supervised"])
    for _ in range(15):
        last = float(model.train_step((x, y))["supervised"])
    assert last < 0.7 * first
    after = model.critic_y.get_weights() + model.critic_x.get_weights()
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_images_are_interleaved_and_separated_again():
    a, b = images(3)
    both = interleave(a, b)
    np.testing.assert_array_equal(both[0], a[0])
    np.testing.assert_array_equal(both[3], b[1])
    for found, expected in zip(separate(both), (a, b), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_state_names_every_variable_that_training_changes():
    config = CircleConfig(critic={"form": "four_stage"})
    model = build(config, (32, 32), None, "float32")
    generators, critics = 12 * 2 + 4 * 2 + 1 + 1, 4 * 4 + 2 * 2
    assert Counter(name.split("/")[0] for name in model.state()) == {
        "generator": generators,
        "degrader": generators,
        "critic_y": critics,
        "critic_x": critics,
        "generator_optimizer": 2 + 2 * 2 * generators,
        "critic_optimizer": 2 + 2 * 2 * critics,
    }
    assert [float(o.beta_1) for o in model.optimizers()] == [0.5, 0.5]


def test_one_and_two_devices_take_the_same_steps():
    x, y = images(12)
    paired = tf.constant([1.0, 0.0] * 6)
    weights = []
    for count in (1, 2):
        devices = [d.name for d in tf.config.list_logical_devices("CPU")[:count]]
        keras.utils.set_random_seed(0)
        with tf.distribute.MirroredStrategy(devices).scope():
            networks = [SmallGenerator() for _ in "GF"] + [critic() for _ in "YX"]
            model = Circle(*networks, seed=4)
            model.compile(keras.optimizers.SGD(1e-3), keras.optimizers.SGD(1e-2))
        data = tf.data.Dataset.from_tensor_slices((x, y, paired)).batch(4, drop_remainder=True)
        model.fit(data, shuffle=False, verbose=0)
        weights.append([v.numpy() for n, v in model.state().items() if "optimizer" not in n])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


def taught(degrader=None, objective=None, rates=(0.1, 0.1)):
    """With an F that is learnt first, or known."""
    networks = SmallGenerator(dropout=0.0), degrader or LinearDegrader((8, 8)), critic(), critic()
    model = Circle(*networks, objective, fixed_degrader=True)
    model.compile(*(keras.optimizers.SGD(rate) for rate in rates))
    return model


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
    model = taught(SmallGenerator(dropout=0.0), {"identity": 0.3, "adversarial": 2.0}, (0.0, 0.1))
    model.phase = "degrader"
    logs = model.train_step((x, y))
    adversarial = -tf.reduce_mean(model.critic_x(model.degrader(y)))  # after its own step
    identity = np.abs(model.degrader(x) - x).sum() / 2
    assert float(logs["generator_loss"]) == pytest.approx(
        2 * float(adversarial) + 0.3 * identity, rel=1e-4
    )


def test_with_a_known_degradation_the_warm_up_is_the_cycle_of_y():
    x, y = images(2)
    model = taught(KspaceDegrader(Degradation(), (8, 8)), rates=(0.0, 0.0))
    model.phase = "content"
    expected = np.abs(model.generator(model.degrader(y)) - y).sum() / 2
    assert float(model.train_step((x, y))["generator_loss"]) == pytest.approx(expected, rel=1e-4)


def test_a_taught_degraders_generator_step_uses_no_pair():
    x, y = images(4)
    weights = {"cycle": 2.0, "sparsity": 0.5, "adversarial": 3.0}
    model = taught(KspaceDegrader(Degradation(), (8, 8)), weights, rates=(0.0, 0.0))
    g, f = model.generator, model.degrader
    y_cycle = g(f(y))
    expected = (
        2 * losses.cycle(x, f(g(x)), y, y_cycle)
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
    model = Circle(*networks, {"identity": 0.1}, fixed_degrader=True)
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
    model.degrader.weights[0].assign([0.0] * 4 + [-0.9 / 16] * 4)  # a tenth of the rest is left
    model.phase = "content"
    decided = model.degrader(y, decided=True)
    assert not np.allclose(decided, model.degrader(y), atol=1e-3)
    expected = np.abs(model.generator(decided) - y).sum() / 2
    assert float(model.train_step((x, y))["generator_loss"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("phase", ["degrader", "adversarial"])
def test_a_taught_degrader_takes_the_same_steps_on_two_devices(phase):
    data = tf.data.Dataset.from_tensor_slices(images(8)).batch(4, drop_remainder=True)
    weights = []
    for count in (1, 2):
        devices = [d.name for d in tf.config.list_logical_devices("CPU")[:count]]
        keras.utils.set_random_seed(0)
        with tf.distribute.MirroredStrategy(devices).scope():
            # F begins as the identity, where the gradient of |F(x) - x| is the sign of rounding.
            model = taught(objective={"identity": 0.0}, rates=(1e-4, 1e-2))
        model.phase = phase
        model.fit(data, shuffle=False, verbose=0)
        weights.append([v.numpy() for n, v in model.state().items() if "optimizer" not in n])
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)
