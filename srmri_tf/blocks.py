"""Pieces that both networks share, most of them in their training steps."""

from collections.abc import Callable, Sequence

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
