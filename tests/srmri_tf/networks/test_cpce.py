"""GAN-CPCE against the published shapes and counts, and its step against plain autodiff."""

import math
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks import losses
from srmri_tf.networks.cpce import Cpce, CpceCritic, CpceGenerator, build
from srmri_tf.recipes.config import CpceConfig, CpceObjective
from srmri_tf.training import devices
from srmri_tf.training.engine import make_step
from tests.srmri_tf.small import SmallCritic, SmallGenerator

RNG = np.random.default_rng(0)


def critic(side=64):
    return CpceCritic((side, side))


def small(objective, features=None, **kwargs):
    """Networks that are quick to trace, where the test is of the model around them."""
    return Cpce(SmallGenerator(), SmallCritic(patch=(16, 16)), features, objective, **kwargs)


def pairs(count, side=16):
    lr, hr = RNG.random((2, count, side, side, 1), np.float32)
    return lr, hr


def test_parameter_counts_are_the_papers():
    assert CpceGenerator().count_params() == 62_016
    assert critic().count_params() == 17_923_521


def test_generator_layers_have_the_published_weights():
    # 3x3 1->32, three 32->32; three transposed 32->32; three 1x1 64->32; the last to one channel.
    shapes = sorted(tuple(w.shape) for w in CpceGenerator().weights)
    encoder = [(3, 3, 1, 32)] + [(3, 3, 32, 32)] * 3
    decoder = [(3, 3, 32, 32)] * 3 + [(3, 3, 1, 32)]
    assert shapes == sorted(encoder + decoder + [(1, 1, 64, 32)] * 3)


def test_generator_layers_have_the_published_sizes():
    network = CpceGenerator()
    x = tf.zeros([1, 64, 64, 1])
    sides = []
    for name in ("conv1", "conv2", "conv3", "conv4", "deconv5", "deconv6", "deconv7", "deconv8"):
        x = network.get_layer(name)(x)
        sides.append(x.shape[1])
    assert sides == [62, 60, 58, 56, 58, 60, 62, 64]


def test_critic_layers_have_the_published_sizes():
    network = critic()
    x = tf.zeros([1, 64, 64, 1])
    shapes = []
    for i in range(1, 7):
        x = network.get_layer(f"conv{i}")(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [
        (64, 64, 64),
        (32, 32, 64),
        (32, 32, 128),
        (16, 16, 128),
        (16, 16, 256),
        (8, 8, 256),
    ]
    assert network.get_layer("dense1").kernel.shape == (8 * 8 * 256, 1024)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (33, 20), (64, 64)])
def test_generator_keeps_any_size(height, width):
    assert CpceGenerator()(tf.zeros([2, height, width, 1])).shape == (2, height, width, 1)


def test_skips_join_features_of_their_own_size_in_the_published_order():
    # A network whose deconvolutions are silent passes on conv1 alone through squeeze7.
    network = CpceGenerator()
    for i in (5, 6, 7):
        kernel = network.get_layer(f"deconv{i}").kernel
        kernel.assign(tf.zeros_like(kernel))
    x = RNG.random((1, 12, 12, 1), np.float32)
    kernels = {name: network.get_layer(name).kernel for name in ("conv1", "squeeze7", "deconv8")}
    conv1 = tf.nn.relu(tf.nn.conv2d(x, kernels["conv1"], 1, "VALID"))
    silent = tf.concat([conv1, tf.zeros_like(conv1)], axis=-1)
    squeezed = tf.nn.relu(tf.nn.conv2d(silent, kernels["squeeze7"], 1, "VALID"))
    grown = tf.nn.conv2d_transpose(squeezed, kernels["deconv8"], x.shape, 1, "VALID")
    expected = tf.nn.relu(grown)
    np.testing.assert_allclose(network(x), expected, atol=1e-6)


def test_shortcut_adds_the_input_before_the_last_relu():
    network = CpceGenerator(shortcut=True)
    kernel = network.get_layer("deconv8").kernel
    kernel.assign(tf.zeros_like(kernel))
    x = RNG.standard_normal((1, 10, 10, 1)).astype(np.float32)
    np.testing.assert_allclose(network(x), np.maximum(x, 0))


def test_critic_step_is_the_gradient_of_equation_2():
    lr, hr = pairs(4)
    objective = CpceObjective(perceptual=0, n_critic=1)
    model = Cpce(CpceGenerator(shortcut=True), critic(16), None, objective, seed=3)
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1))
    before = [w.numpy() for w in model.critic.trainable_variables]
    alpha = tf.random.stateless_uniform([4, 1, 1, 1], [3, 0])

    @tf.function
    def equation_2():
        fake = model.generator(lr)
        distance = losses.wasserstein_critic(model.critic(hr), model.critic(fake))
        return distance + 10 * losses.gradient_penalty(model.critic, hr, fake, alpha)

    with tf.GradientTape() as tape:
        expected = equation_2()
    gradients = tape.gradient(expected, [w.value for w in model.critic.trainable_variables])
    model.phase = "critic"
    logs = model.train_step((tf.constant(lr), tf.constant(hr)))
    assert float(logs["critic_loss"]) == pytest.approx(float(expected), rel=1e-4)
    for old, gradient, new in zip(before, gradients, model.critic.trainable_variables, strict=True):
        np.testing.assert_allclose(new, old - 0.1 * gradient.numpy(), rtol=1e-4, atol=1e-5)


def test_generator_step_is_the_gradient_of_the_weighted_terms():
    lr, hr = pairs(2)

    class Features(keras.Model):
        def call(self, x, training=False):
            return tf.nn.avg_pool2d(x, 4, 4, "VALID")

    objective = CpceObjective(adversarial=0.5, perceptual=2.0, l1=3.0, l2=4.0, n_critic=1)
    model = Cpce(CpceGenerator(shortcut=True), critic(16), Features(), objective)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.0))
    before = [w.numpy() for w in model.generator.trainable_variables]
    with tf.GradientTape() as tape:
        sr = model.generator(lr)
        pooled = [tf.nn.avg_pool2d(x, 4, 4, "VALID") for x in (sr, hr)]
        expected = (
            -0.5 * tf.reduce_mean(model.critic(sr))
            + 2.0 * tf.reduce_mean((pooled[0] - pooled[1]) ** 2)
            + 3.0 * tf.reduce_mean(tf.abs(sr - hr))
            + 4.0 * tf.reduce_mean((sr - hr) ** 2)
        )
    gradients = tape.gradient(expected, [w.value for w in model.generator.trainable_variables])
    logs = model.train_step((tf.constant(lr), tf.constant(hr)))
    assert float(logs["generator_loss"]) == pytest.approx(float(expected), rel=1e-5)
    for old, gradient, new in zip(
        before, gradients, model.generator.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(new, old - 0.1 * gradient.numpy(), rtol=1e-4, atol=1e-6)


def dealt():
    """The pairs of each critic update, and of each pass of the generator: the trained one first."""
    seen = {"critic": [], "generator": []}

    def note(images, which):
        seen[which.decode()].append(images[:, 0, 0, 0].tolist())

    class SpyGenerator(SmallGenerator):
        def call(self, lr, training=False, noise=None):
            if lr.shape[0]:  # None as it is built
                tf.numpy_function(note, [lr, "generator"], [])
            return super().call(lr, training)

    class SpyCritic(SmallCritic):
        def call(self, images, training=False):
            if images.shape[0]:
                tf.numpy_function(note, [images, "critic"], [])
            return super().call(images, training)

    network, judge = SpyGenerator(), SpyCritic(patch=(16, 16))
    objective = CpceObjective(perceptual=0, gradient_penalty=0, n_critic=3)
    model = Cpce(network, judge, None, objective)
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    numbered = tf.tile(tf.range(6.0)[:, None, None, None], [1, 16, 16, 1])
    model.train_step((numbered, numbered))
    updates = [scored[: len(scored) // 2] for scored in seen["critic"][:-1]]
    return updates, seen["generator"]


def test_each_critic_update_sees_its_own_pairs_and_the_generator_the_last_ones():
    assert dealt() == ([[0, 3], [1, 4], [2, 5]], [[2, 5], [0, 3], [1, 4]])


def test_the_penalty_takes_four_passes_of_the_critic_and_not_two_more_of_zeros():
    judge = critic(16)
    kernels = [layer.kernel.value for layer in judge.layers if layer.weights]

    @tf.function
    def gradients(hr, fake):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(kernels)
            penalty = losses.gradient_penalty(judge, hr, fake, tf.ones([2, 1, 1, 1]))
        return tape.gradient(penalty, kernels)

    graph = gradients.get_concrete_function(*[tf.TensorSpec([2, 16, 16, 1])] * 2).graph
    needed, ahead = set(), [tensor.op for tensor in graph.outputs]
    while ahead:
        operation = ahead.pop()
        if operation not in needed:
            needed.add(operation)
            ahead.extend(tensor.op for tensor in operation.inputs)
    kinds = Counter(operation.type for operation in needed)
    # Scores, their slope at the image, the slope's own change along it, and the weights' gradient.
    assert kinds["Conv2D"] == 2 * 6
    assert kinds["Conv2DBackpropInput"] == kinds["Conv2DBackpropFilter"] == 6


def test_the_perceptual_term_can_be_estimated_on_a_part_of_the_batch():
    lr, hr = pairs(4)
    seen = []

    class Features(keras.Model):
        def call(self, x, training=False):
            seen.append(x.shape[0])
            return x

    objective = CpceObjective(perceptual_share=0.5, n_critic=1)
    model = Cpce(CpceGenerator(shortcut=True), critic(16), Features(), objective)
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    logs = model.train_step((tf.constant(lr), tf.constant(hr)))
    assert seen == [2, 2]
    expected = np.mean((model.generator(lr[:2]).numpy() - hr[:2]) ** 2)
    assert float(logs["perceptual"]) == pytest.approx(expected, rel=1e-5)


def test_content_phase_leaves_the_critic_alone_and_lowers_l1():
    lr, hr = pairs(8)
    model = build(
        CpceConfig(objective={"perceptual": 0}, generator={"shortcut": True}),
        (16, 16),
        None,
        "float32",
    )
    model.phase = "content"
    before = model.critic.get_weights()
    first = float(model.train_step((tf.constant(lr), tf.constant(hr)))["l1"])
    for _ in range(20):
        last = float(model.train_step((tf.constant(lr), tf.constant(hr)))["l1"])
    assert last < first
    for old, new in zip(before, model.critic.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_fit_makes_n_critic_critic_steps_to_one_of_the_generator():
    lr, hr = pairs(12)
    model = small(CpceObjective(perceptual=0, n_critic=2))
    model.compile(keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4))
    model.fit(lr, hr, batch_size=4, epochs=2, verbose=0)
    assert int(model.critic_optimizer.iterations) == 12
    assert int(model.generator_optimizer.iterations) == 6


def test_a_perceptual_weight_needs_features():
    with pytest.raises(ValueError, match="Received: None"):
        Cpce(CpceGenerator(), critic(16), None, CpceObjective())


def test_the_state_names_every_variable_that_training_changes():
    model = build(CpceConfig(objective={"perceptual": 0}), (16, 16), None, "float32")
    counts = Counter(name.split("/")[0] for name in model.state())
    # Adam: iterations, learning rate and two moments per weight.
    assert counts == {
        "generator": 11,
        "critic": 16,
        "generator_optimizer": 2 + 2 * 11,
        "critic_optimizer": 2 + 2 * 16,
    }


@pytest.mark.slow  # so does test_fitting, in a run
def test_one_and_two_devices_take_the_same_steps():
    lr, hr = pairs(12)
    weights = []
    for count in (1, 2):
        devices = [d.name for d in tf.config.list_logical_devices("CPU")[:count]]
        keras.utils.set_random_seed(0)
        with tf.distribute.MirroredStrategy(devices).scope():
            objective = CpceObjective(perceptual=0, l1=1.0, n_critic=2)
            model = small(objective, seed=4)
            model.compile(keras.optimizers.SGD(1e-2), keras.optimizers.SGD(1e-3))
        data = tf.data.Dataset.from_tensor_slices((lr, hr)).batch(4, drop_remainder=True)
        model.fit(data, epochs=2, shuffle=False, verbose=0)
        weights.append(model.generator.get_weights() + model.critic.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)


slow = pytest.mark.slow


# Of 8 pairs: 2, all on the first of two devices; 3; 4, what it holds; 6, some on the second, too.
@pytest.mark.parametrize(
    "share",
    [*(pytest.param(share, marks=slow) for share in (0.25, 0.3, 0.5)), 0.75],
)
def test_one_and_two_devices_estimate_the_perceptual_term_on_the_same_pairs(share):
    lr, hr = pairs(16)
    terms, weights, seen = [], [], []

    class Features(keras.Model):
        def call(self, x, training=False):
            seen[-1].append(x.shape[0])
            return tf.nn.avg_pool2d(x, 4, 4, "VALID")

    for count in (1, 2):
        seen.append([])
        names = [d.name for d in tf.config.list_logical_devices("CPU")[:count]]
        strategy = tf.distribute.MirroredStrategy(names)
        keras.utils.set_random_seed(0)
        with strategy.scope():
            weights_of = {"perceptual": 100, "gradient_penalty": 0, "n_critic": 2}
            objective = CpceObjective(**weights_of, perceptual_share=share)
            model = small(objective, Features())
            model.compile(keras.optimizers.SGD(1e-3), keras.optimizers.SGD(1e-3))
        data = tf.data.Dataset.from_tensor_slices((lr, hr)).repeat(2).batch(16, drop_remainder=True)
        step = make_step(strategy, model, "adversarial")
        shared = devices.share(strategy, data, 16)
        terms.append([step(batch, tf.constant(0.0))["perceptual"] for batch in shared])
        weights.append(model.generator.get_weights())
    assert terms[1] == pytest.approx(terms[0], rel=1e-5)
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)
    # Nothing is computed that the term does not need.
    assert sum(seen[0]) == sum(seen[1]) == 2 * math.ceil(8 * share)


@slow  # a processor emulates float16
def test_half_precision_scales_losses_and_agrees_with_single():
    lr, hr = pairs(4)
    results = {}
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(0)
        config = CpceConfig(
            objective={"perceptual": 0, "l1": 1.0, "n_critic": 1}, generator={"shortcut": True}
        )
        model = build(config, (16, 16), None, policy)
        scaled = isinstance(model.generator_optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (policy == "mixed_float16")
        step = tf.function(model.train_step)
        before = model.critic.get_weights()
        results[policy] = {k: float(v) for k, v in step((lr, hr)).items()}
        assert any((a != b).any() for a, b in zip(before, model.critic.get_weights(), strict=True))
        assert {w.dtype for w in model.critic.weights} == {"float32"}
    for term in ("l1", "gradient_penalty", "generator_gradient_norm"):
        single, half = (results[p][term] for p in ("float32", "mixed_float16"))
        assert half == pytest.approx(single, rel=0.05), term
