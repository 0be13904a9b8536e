"""Pieces that both networks share, most of them in their training steps."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import keras
import tensorflow as tf

from srmri_tf.adam import FusedAdam
from srmri_tf.config import RunConfig


def leaky_relu(x: tf.Tensor, slope: float) -> tf.Tensor:
    """max(x, slope x), whose second derivative is known to be zero and costs nothing.

    TensorFlow's own gives the second derivative as a tensor of zeros, which a gradient penalty then
    sends back through every layer below. It also keeps ``x`` for the gradient; the result, which
    the next layer keeps anyway, has the same sign, and lets convolution and activation fuse.

    Args:
        x: Any shape and floating type.
        slope: Of the negative half, in (0, 1).
    """

    @tf.custom_gradient
    def activate(x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        y = tf.nn.leaky_relu(x, slope)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            sign = tf.stop_gradient(y)
            return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=sign, alpha=slope)

        return y, gradient

    return activate(x)


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


def replica_uniform(batch: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1), one per sample: a pure function of (seed, step, sample).

    The numbers of the whole global batch are drawn on every replica and each takes its own share,
    so one device and several see the same ones.

    Args:
        batch: Samples on this replica, int scalar.
        seed: The run's seed.
        step: Any integer that changes from draw to draw.

    Returns:
        (batch, 1, 1, 1) float32.
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    rank = tf.cast(context.replica_id_in_sync_group, tf.int32)
    state = tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64)])
    everyone = tf.random.stateless_uniform(tf.stack([replicas * batch, 1, 1, 1]), state)
    return everyone[rank * batch : (rank + 1) * batch]


def stateless_dropout(x: tf.Tensor, rate: float, noise: tf.Tensor, layer: int) -> tf.Tensor:
    """Zero a fraction of the features and scale the rest up: inverted dropout without a state.

    What is dropped is a pure function of (noise, layer, sample, feature), the sample counted over
    the whole global batch: each replica begins in the middle of one counter-based stream, so that
    it draws its own numbers only.

    Args:
        x: (B, H, W, C) features of this replica's samples.
        rate: Fraction to drop, in [0, 1).
        noise: (2,) int64; another one for every pass of every step.
        layer: Another number for every layer of a pass.
    """
    context = tf.distribute.get_replica_context()
    rank = tf.cast(context.replica_id_in_sync_group, tf.uint64)
    shape = tf.shape(x)
    # Philox makes four numbers per count, so a sample begins at a whole count.
    counts = (tf.reduce_prod(shape[1:]) + 3) // 4
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=noise)
    first = rank * tf.cast(shape[0] * counts, tf.uint64)
    numbers = tf.raw_ops.StatelessRandomUniformV2(
        shape=tf.stack([shape[0], 4 * counts]),
        key=key,
        counter=counter + tf.stack([first, tf.constant(layer, tf.uint64)]),
        alg=tf.random.Algorithm.PHILOX.value,
        dtype=tf.float32,
    )
    kept = tf.reshape(numbers[:, : tf.reduce_prod(shape[1:])], shape) >= rate
    return tf.where(kept, x * tf.cast(1 / (1 - rate), x.dtype), tf.zeros([], x.dtype))


def interleave(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Two batches as one, sample by sample: first 0, second 0, first 1, second 1, ...

    A network then passes over both at once, and a replica's samples are consecutive among
    everyone's, which behind one another they would not be.

    Returns:
        (2 B, H, W, C) of two (B, H, W, C).
    """
    pairs = tf.stack([first, second], axis=1)
    return tf.reshape(pairs, tf.concat([[-1], tf.shape(first)[1:]], axis=0))


def separate(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The two batches that were interleaved."""
    return images[::2], images[1::2]


def make_optimizer(config: RunConfig, policy: str) -> keras.optimizers.Optimizer:
    """Adam as the recipe has it; with loss scaling where half precision needs it.

    Args:
        config: The recipe.
        policy: Keras dtype policy of the network.
    """
    adam = FusedAdam(
        config.schedule.rate(0), beta_1=config.optimizer.beta_1, beta_2=config.optimizer.beta_2
    )
    return keras.optimizers.LossScaleOptimizer(adam) if policy == "mixed_float16" else adam


def minimise(
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
) -> tf.Tensor:
    """Take one optimiser step down the global batch's mean loss.

    Keras optimisers sum gradients over replicas, so each replica's mean is divided by their number.
    ``loss`` must have been scaled by ``optimizer.scale_loss`` on the tape.

    Returns:
        The norm of the gradient before the step, over all weights together.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    gradients = tape.gradient(loss, [v.value for v in variables])
    norm = tf.linalg.global_norm(gradients) / optimizer.scale_loss(tf.constant(1.0))
    if replicas > 1:
        gradients = [gradient / replicas for gradient in gradients]
    optimizer.apply(gradients, variables)
    return norm
