"""GAN-CPCE's layers of stride 1 and no bias, computed in few passes over memory."""

from itertools import product
from typing import Any

import tensorflow as tf


def convolve(x: tf.Tensor, kernel: tf.Tensor, padding: Any = "VALID") -> tf.Tensor:
    """The ReLU of a convolution without bias, in one pass over memory.

    TensorFlow fuses convolution and ReLU only around a bias: one of zeros costs nothing.

    Args:
        x: (B, H, W, C).
        kernel: (k, k, C, D).
        padding: As `tf.nn.conv2d` has it.

    Returns:
        (B, H', W', D)
    """
    return tf.nn.relu(_plus_zeros(tf.nn.conv2d(x, tf.cast(kernel, x.dtype), 1, padding)))


def convolve_pair(first: tf.Tensor, second: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The ReLU of a 1x1 convolution of two images side by side, without putting them there.

    The second convolution adds the first one's result as it writes its own, if TensorFlow knows
    both to be of one size: hence the reshape, and a padding that keeps sizes.

    Args:
        first: (B, H, W, C).
        second: (B, H, W, C).
        kernel: (1, 1, 2C, D).

    Returns:
        (B, H, W, D)
    """
    upper, lower = tf.split(tf.cast(kernel, first.dtype), 2, axis=2)
    second = tf.reshape(second, tf.shape(first))
    both = tf.nn.conv2d(first, upper, 1, "SAME") + _plus_zeros(
        tf.nn.conv2d(second, lower, 1, "SAME")
    )
    return tf.nn.relu(both)


def deconvolve(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The ReLU of a transposed 3x3 convolution of stride 1; fast forwards only.

    Args:
        x: (B, H, W, C).
        kernel: (3, 3, D, C).

    Returns:
        (B, H + 2, W + 2, D)
    """
    return convolve(x, _turned(kernel), [[0, 0], [2, 2], [2, 2], [0, 0]])


def deconvolve_to_one_channel(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """A 3x3 transposed convolution, stride 1, to one channel; fast forwards only.

    Processors compute 16 channels at a time, even where there is but one. So a convolution of
    stride 4 computes 4x4 pixels as channels; they depend on 6x6 others, a quarter of the work.

    Args:
        x: (B, H, W, C).
        kernel: (3, 3, 1, C).

    Returns:
        (B, H + 2, W + 2, 1)
    """
    side = 4
    turned = _turned(tf.cast(kernel, x.dtype))
    offsets = [[i, side - 1 - i] for i in range(side)]
    kernels = [
        tf.pad(turned, [rows, columns, [0, 0], [0, 0]])
        for rows, columns in product(offsets, repeat=2)
    ]
    around = [2, 2 + side - 1]  # the last blocks may reach beyond the result
    padding = [[0, 0], around, around, [0, 0]]
    blocks = tf.nn.conv2d(x, tf.concat(kernels, axis=-1), side, padding)
    height, width = tf.shape(x)[1] + 2, tf.shape(x)[2] + 2
    return tf.nn.depth_to_space(blocks, side)[:, :height, :width]


def _plus_zeros(x: tf.Tensor) -> tf.Tensor:
    with tf.init_scope():  # the graph's own zeros would be optimised away
        zeros = tf.zeros(x.shape[-1:], x.dtype)
    return tf.nn.bias_add(x, zeros)


def _turned(kernel: tf.Tensor) -> tf.Tensor:
    """A transposed convolution of stride 1 is a convolution with this."""
    return tf.transpose(kernel[::-1, ::-1], [0, 1, 3, 2])
