"""The leaky ReLU of both GANs against TensorFlow's own; dropout without a state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks import losses
from srmri_tf.networks.layers import leaky_relu, stateless_dropout

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [tf.float32, tf.bfloat16, tf.float16])
def test_leaky_relu_and_its_slope_are_the_textbooks(kind):
    x = tf.constant([-4.0, -0.5, 0.0, 0.5, 8.0], kind)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = leaky_relu(x, 0.25)
    slope = tape.gradient(y, x, output_gradients=tf.fill([5], tf.constant(2.0, kind)))
    assert y.dtype == slope.dtype == kind
    np.testing.assert_array_equal(tf.cast(y, tf.float32), [-1.0, -0.125, 0.0, 0.5, 8.0])
    np.testing.assert_array_equal(tf.cast(slope, tf.float32), [0.5, 0.5, 0.5, 2.0, 2.0])


def test_leaky_relu_has_no_second_derivative_and_a_linear_first():
    x = tf.constant([-2.0, 3.0])
    upstream = tf.constant([5.0, 7.0])
    with tf.GradientTape(persistent=True) as outer:
        outer.watch([x, upstream])
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = leaky_relu(x, 0.2)
        slope = inner.gradient(y, x, output_gradients=upstream)
    assert outer.gradient(slope, x) is None
    np.testing.assert_allclose(outer.gradient(slope, upstream), [0.2, 1.0])


def test_a_penalty_teaches_a_critic_what_it_does_with_tensorflows_leaky_relu():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(4, 3, strides=s, padding="same") for s in (1, 2)]
    last = keras.layers.Dense(1)
    real, fake = RNG.random((2, 3, 8, 8, 1), np.float32)
    alpha = tf.constant([0.2, 0.5, 0.9])[:, None, None, None]

    def gradients(activation):
        def critic(x):
            for layer in layers:
                x = activation(layer(x), 0.2)
            return last(keras.ops.reshape(x, (len(real), -1)))

        def call():
            kernels = [layer.kernel.value for layer in (*layers, last)]
            with tf.GradientTape() as tape:
                penalty = losses.gradient_penalty(critic, real, fake, alpha)
            return tape.gradient(penalty, kernels)

        critic(real)  # creates the weights
        return tf.function(call)()

    ours, theirs = gradients(leaky_relu), gradients(tf.nn.leaky_relu)
    for found, expected in zip(ours, theirs, strict=True):
        assert np.any(expected.numpy())
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


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
