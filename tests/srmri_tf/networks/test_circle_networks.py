"""GAN-CIRCLE's networks against the published shapes and counts; dropout without a state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.circle import CircleCritic, CircleGenerator
from srmri_tf.networks.layers import stateless_dropout

RNG = np.random.default_rng(0)


FEATURES = [f"feat{i}" for i in range(1, 13)]


def critic(form="eight_conv", side=64):
    return CircleCritic(form, (side, side))


def counts(network):
    return {layer.name: layer.count_params() for layer in network.layers if layer.weights}


def test_generator_has_the_published_counts():
    assert CircleGenerator().count_params() == 168_104
    assert CircleGenerator(first_stride=1).count_params() == 164_536
    assert CircleGenerator(widths="released").count_params() == 611_418


@pytest.mark.parametrize(
    ("form", "count"),
    [
        ("eight_conv", 16_720_385),
        ("four_stage", 11_147_073),
        ("patchgan", 2_764_481),
        ("local", 1_361),
    ],
)
def test_critics_have_the_published_counts(form, count):
    assert critic(form).count_params() == count


def test_generator_layers_have_the_published_weights():
    features = [640, 31158, 23376, 18619, 15132, 12320, 9796, 7840, 6325, 4972, 3582, 2608]
    tail = {"A1": 10176, "B1": 3392, "B2": 584, "C1": 9248, "C2": 8192, "out": 144}
    assert counts(CircleGenerator()) == dict(zip(FEATURES, features, strict=True)) | tail
    assert CircleGenerator(first_stride=1).get_layer("C2").count_params() == 4624


def test_released_generator_layers_have_the_published_weights():
    features = [1280, 121065, 87032, 66320, 50470, 38491, 29150, 21510, 15022, 10020, 5962, 3184]
    tail = {"A1": 47360, "B1": 23680, "B2": 2312, "C1": 46728, "C2": 41508, "out": 324}
    found = counts(CircleGenerator(widths="released"))
    assert found == dict(zip(FEATURES, features, strict=True)) | tail


def test_generator_works_at_half_the_size():
    network = CircleGenerator()
    x = tf.zeros([1, 64, 64, 1])
    widths = (64, 54, 48, 43, 39, 35, 31, 28, 25, 22, 18, 16)
    for name, width in zip(FEATURES, widths, strict=True):
        x = network.get_layer(name)(x)
        assert x.shape == (1, 32, 32, width)
    assert network.get_layer("C2")(tf.zeros([1, 32, 32, 32])).shape == (1, 64, 64, 16)


@pytest.mark.parametrize(
    ("form", "sides", "widths"),
    [
        ("eight_conv", (64, 32, 32, 16, 16, 8, 8, 4), (64, 64, 128, 128, 256, 256, 512, 512)),
        ("four_stage", (32, 16, 8, 4), (64, 128, 256, 512)),
        ("patchgan", (32, 16, 8, 8), (64, 128, 256, 512)),
    ],
)
def test_critic_layers_have_the_published_sizes(form, sides, widths):
    network = critic(form)
    shape = (None, 64, 64, 1)
    for i, (side, width) in enumerate(zip(sides, widths, strict=True), 1):
        shape = network.get_layer(f"conv{i}").compute_output_shape(shape)
        assert shape == (None, side, side, width)
    norms = [layer.name for layer in network.layers if layer.name.startswith("in")]
    assert norms == [f"in{i}" for i in range(1 + (form != "four_stage"), len(sides) + 1)]
    if form == "patchgan":
        assert network.get_layer("conv5").compute_output_shape(shape) == (None, 8, 8, 1)
    else:
        assert network.get_layer("dense1").kernel.shape == (4 * 4 * 512, 1024)


@pytest.mark.parametrize("first_stride", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (17, 12), (181, 217)])
def test_generator_keeps_any_size(height, width, first_stride):
    network = CircleGenerator(first_stride=first_stride)
    assert network(tf.zeros([1, height, width, 1])).shape == (1, height, width, 1)


def test_an_odd_image_is_treated_like_the_even_one_it_is_cut_from():
    # Far from the cut, both must be the same: sampled at the same places, nothing shifted.
    network = CircleGenerator()
    x = RNG.random((1, 80, 80, 1), np.float32)
    whole, cut = network(x), network(x[:, :79, :79])
    np.testing.assert_allclose(cut[:, :30, :30], whole[:, :30, :30], atol=1e-5)


def test_the_input_is_added_to_a_linear_output():
    network = CircleGenerator()
    kernel = network.get_layer("out").kernel
    kernel.assign(tf.zeros_like(kernel))
    x = RNG.standard_normal((1, 9, 6, 1)).astype(np.float32)
    np.testing.assert_array_equal(network(x), x)


def test_the_reconstruction_sees_every_block():
    network = CircleGenerator()
    x = tf.constant(RNG.random((1, 8, 8, 1), np.float32))
    for conv in map(network.get_layer, FEATURES):
        before = network(x)
        conv.bias.assign_add(tf.ones_like(conv.bias))
        assert float(tf.reduce_max(tf.abs(network(x) - before))) > 1e-4
    kernel = network.get_layer("A1").kernel
    assert kernel.shape[2] == 64 + 54 + 48 + 43 + 39 + 35 + 31 + 28 + 25 + 22 + 18 + 16


def test_initial_biases_are_zero_and_kernels_he_normal():
    network = CircleGenerator()
    assert all(not np.any(network.get_layer(name).bias.numpy()) for name in FEATURES)
    kernel = network.get_layer("feat2").kernel.numpy()  # 3x3x64 inputs
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.05)


def test_critics_mix_no_samples():
    network = critic("four_stage", 32)
    both = RNG.random((2, 32, 32, 1), np.float32)
    alone = np.concatenate([network(both[:1]), network(both[1:])])
    np.testing.assert_allclose(network(both), alone, rtol=1e-4, atol=1e-4)


def test_a_norm_takes_away_the_mean_and_never_amplifies():
    features = 5 + 2 * RNG.standard_normal((2, 7, 6, 64)).astype(np.float32)
    mean, variance = (f(features, axis=(1, 2), keepdims=True) for f in (np.mean, np.var))
    expected = (features - mean) / np.sqrt(variance + 1)
    found = critic("four_stage", 32).get_layer("in1")(features)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["eight_conv", "four_stage", "patchgan", "local"])
@pytest.mark.parametrize("noise", [0.0, 0.003, 0.3])
def test_an_untrained_critic_is_steep_nowhere(form, noise):
    """Not even on air, where instance norm with the usual epsilon has a slope of up to 1e10."""
    network = critic(form, 64)
    images = tf.constant(noise * RNG.random((2, 64, 64, 1), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = network(images)
    slopes = tf.norm(tf.reshape(tape.gradient(scores, images), [2, -1]), axis=1)
    assert float(tf.reduce_max(slopes)) < 3


def test_patchgan_scores_are_the_mean_of_the_map():
    network = critic("patchgan", 32)
    scores = network.get_layer("conv5")
    scores.kernel.assign(tf.zeros_like(scores.kernel))
    scores.bias.assign([2.5])
    np.testing.assert_allclose(network(tf.zeros([3, 32, 32, 1])), np.full((3, 1), 2.5))


def test_a_local_critic_is_blind_to_what_is_far_apart():
    """What it says of an image is what it says of the parts, wherever they are."""
    network = critic("local", 32)
    image = RNG.random((1, 32, 32, 1), np.float32)
    moved = np.roll(image, 16, axis=1)
    inner = [network.get_layer("conv4").output, network.output]
    maps, scores = keras.Model(network.inputs, inner)([np.concatenate([image, moved])])
    np.testing.assert_allclose(maps[0, 3:13], maps[1, 19:29], atol=1e-5)
    np.testing.assert_allclose(scores[:, 0], 32 * np.mean(maps, axis=(1, 2, 3)), rtol=1e-4)


# dropout


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = tf.ones([64, 10, 10, 7])
    dropped = stateless_dropout(x, 0.2, tf.constant([1, 2], tf.int64), 0).numpy()
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1.25)}
    assert (dropped == 0).mean() == pytest.approx(0.2, abs=0.01)
    # No row, column, channel or sample is special.
    for axes in [(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)]:
        assert np.ptp((dropped == 0).mean(axes)) < 0.1


def test_dropout_differs_between_layers_passes_and_steps():
    x = tf.ones([4, 6, 6, 5])
    masks = [
        stateless_dropout(x, 0.5, tf.constant(noise, tf.int64), layer).numpy().tobytes()
        for noise in ([1, 2], [1, 3], [2, 2])
        for layer in (0, 1)
    ]
    assert len(set(masks)) == 6
    again = stateless_dropout(x, 0.5, tf.constant([1, 2], tf.int64), 0)
    assert again.numpy().tobytes() == masks[0]


@pytest.mark.parametrize("side", [8, 5])
def test_dropout_is_the_same_on_one_and_two_devices(side):
    noise = tf.constant([1, 2], tf.int64)

    def drop(samples):
        return stateless_dropout(tf.ones([samples, side, side, 3]), 0.5, noise, 1)

    devices = [d.name for d in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices)
    parts = strategy.experimental_local_results(strategy.run(drop, (3,)))
    np.testing.assert_array_equal(np.concatenate(parts), drop(6))


def test_a_generator_drops_only_where_noise_is_given():
    network = CircleGenerator(dropout=0.2)
    x = tf.constant(RNG.random((2, 8, 8, 1), np.float32))
    noise = tf.constant([0, 0], tf.int64)
    np.testing.assert_array_equal(network(x, training=True), network(x))
    assert np.any(network(x, noise=noise) != network(x))
    np.testing.assert_array_equal(network(x, noise=noise), network(x, noise=noise))
    off = CircleGenerator(dropout=0.0)
    np.testing.assert_array_equal(off(x, noise=noise), off(x))
