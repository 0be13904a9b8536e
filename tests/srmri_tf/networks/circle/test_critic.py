"""GAN-CIRCLE's critics against the published shapes and counts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.circle import CircleCritic

RNG = np.random.default_rng(0)


def critic(form="eight_conv", side=64):
    return CircleCritic(form, (side, side))


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
@pytest.mark.parametrize("noise", [0.0, pytest.param(0.003, marks=pytest.mark.slow), 0.3])
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
