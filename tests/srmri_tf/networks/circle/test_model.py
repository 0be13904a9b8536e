"""GAN-CIRCLE's training step against plain autodiff."""

from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.circle import (
    Circle,
    CircleGenerator,
    build,
)
from srmri_tf.networks.circle.model import interleave, separate
from srmri_tf.recipes.config import CircleConfig, CircleObjective
from tests.srmri_tf.small import SmallCritic, SmallGenerator
from tests.srmri_tf.traced import as_built

RNG = np.random.default_rng(0)
MODELS = {}


def critic():
    return SmallCritic(patch=(8, 8))


def circle(objective=None, kind=SmallGenerator, rates=(0.1, 0.1)):
    objective = objective or CircleObjective()

    def make():
        networks = [kind(dropout=0.0) for _ in "GF"] + [critic() for _ in "YX"]
        model = Circle(*networks, objective, seed=3)
        model.compile(keras.optimizers.SGD(), keras.optimizers.SGD())
        return model

    return as_built(MODELS, (objective.model_dump_json(), kind), make, rates)


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


@pytest.mark.slow  # test_fixed_degrader takes steps on two devices, too
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
