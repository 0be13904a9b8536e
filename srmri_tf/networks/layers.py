"""Layers and random numbers that the networks and their training steps need beside Keras's own."""

from collections.abc import Callable

import keras
import tensorflow as tf

register = keras.saving.register_keras_serializable(package="srmri_tf")


@register
class CriticLeakyReLU(keras.layers.Layer):
    """max(x, slope x), without the tensor of zeros that is its second derivative.

    A gradient penalty would send those zeros back through every layer below: a critic's step takes
    a tenth longer with ``keras.layers.LeakyReLU``.

    Args:
        slope: Of the negative half, in (0, 1).

    Call:
        Any shape and floating type -> the same.
    """

    def __init__(self, slope: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.slope = slope

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Apply the activation."""
        return leaky_relu(inputs, self.slope)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {**super().get_config(), "slope": self.slope}


def leaky_relu(x: tf.Tensor, slope: float) -> tf.Tensor:
    """max(x, slope x), whose second derivative is known to be zero and costs nothing.

    The gradient needs the sign of the result only, which the next layer keeps anyway; so
    convolution and activation can be computed in one pass.

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


@register
class StatelessDropout(keras.layers.Layer):
    """Inverted dropout whose pattern is a function of ``noise``, a layer number and the sample.

    Keras's own draws the same pattern on every replica and keeps a state that no checkpoint holds.

    Args:
        rate: Fraction of the features to drop, in [0, 1).
        number: Another one for every layer of a network.

    Attributes:
        noise: (2,) int64, another one for every pass of every step; None drops nothing. The network
            sets it before each call.

    Call:
        (B, H, W, C) -> the same.
    """

    def __init__(self, rate: float, number: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.number = number
        self.noise: tf.Tensor | None = None

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Drop features, or none where there is no noise."""
        if self.noise is None:
            return inputs
        return stateless_dropout(inputs, self.rate, self.noise, self.number)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {**super().get_config(), "rate": self.rate, "number": self.number}


def stateless_dropout(x: tf.Tensor, rate: float, noise: tf.Tensor, layer: int) -> tf.Tensor:
    """Zero a fraction of the features and scale the rest up.

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
