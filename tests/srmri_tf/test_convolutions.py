"""Convolutions that write little, against SciPy's and NumPy's."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import convolve2d, correlate2d

from srmri_tf.convolutions import convolve, convolve_pair, deconvolve, deconvolve_to_one_channel


def _layer(apply, x, kernel):
    """What ``apply`` makes of every image and every channel's kernel, summed over the channels."""
    inputs, outputs = kernel.shape[2:]
    images = [
        [sum(apply(one[..., c], kernel[..., c, d]) for c in range(inputs)) for d in range(outputs)]
        for one in x
    ]
    return np.moveaxis(images, 1, -1)


@pytest.mark.parametrize("shape", [(9, 12), (1, 3), (16, 7)])
def test_blocks_of_pixels_are_the_transposed_convolution_to_one_channel(shape):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, *shape, 5)), rng.standard_normal((3, 3, 1, 5))
    expected = _layer(convolve2d, x, kernel.transpose(0, 1, 3, 2))
    found = deconvolve_to_one_channel(tf.constant(x), tf.constant(kernel))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_a_convolution_is_summed_over_channels_and_not_negative(padding):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 6, 7, 3)), rng.standard_normal((3, 3, 3, 4))
    expected = _layer(lambda image, k: correlate2d(image, k, padding.lower()), x, kernel)
    found = convolve(tf.constant(x), tf.constant(kernel), padding)
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-12)


def test_a_transposed_convolution_adds_the_kernel_around_every_pixel():
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal((3, 3, 6, 3))
    expected = _layer(convolve2d, x, kernel.transpose(0, 1, 3, 2))
    found = deconvolve(tf.constant(x), tf.constant(kernel))
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-12)


def test_a_pair_is_convolved_as_if_side_by_side():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 2, 4, 3, 5))
    kernel = rng.standard_normal((1, 1, 10, 6))
    expected = np.concatenate([first, second], axis=-1) @ kernel[0, 0]
    found = convolve_pair(*map(tf.constant, (first, second, kernel)))
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-12)
