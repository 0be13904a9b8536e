"""GAN-CIRCLE's generators against the published shapes and counts."""

import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks.circle import CircleGenerator

RNG = np.random.default_rng(0)
FEATURES = [f"feat{i}" for i in range(1, 13)]


def counts(network):
    return {layer.name: layer.count_params() for layer in network.layers if layer.weights}


def test_generator_has_the_published_counts():
    assert CircleGenerator().count_params() == 168_104
    assert CircleGenerator(first_stride=1).count_params() == 164_536
    assert CircleGenerator(widths="released").count_params() == 611_418


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


def test_a_generator_drops_only_where_noise_is_given():
    network = CircleGenerator(dropout=0.2)
    x = tf.constant(RNG.random((2, 8, 8, 1), np.float32))
    noise = tf.constant([0, 0], tf.int64)
    np.testing.assert_array_equal(network(x, training=True), network(x))
    assert np.any(network(x, noise=noise) != network(x))
    np.testing.assert_array_equal(network(x, noise=noise), network(x, noise=noise))
    off = CircleGenerator(dropout=0.0)
    np.testing.assert_array_equal(off(x, noise=noise), off(x))
