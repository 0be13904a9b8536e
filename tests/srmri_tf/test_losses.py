"""Every loss against numbers worked out by hand or with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from srmri_tf import losses

RNG = np.random.default_rng(0)


def images(batch=3, side=5):
    return RNG.random((batch, side, side, 1), np.float32)


def test_wasserstein_terms_are_means_of_scores():
    real, fake = tf.constant([[3.0], [5.0]]), tf.constant([[1.0], [-4.0]])
    assert float(losses.wasserstein_critic(real, fake)) == pytest.approx(-1.5 - 4.0)
    assert float(losses.wasserstein_generator(fake)) == pytest.approx(1.5)


@pytest.mark.parametrize(("gain", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_penalty_of_a_linear_critic_is_its_norm_minus_one_squared(gain, expected):
    w = RNG.standard_normal((5, 5, 1)).astype(np.float32)
    w *= gain / np.linalg.norm(w)

    def critic(x):
        return tf.reduce_sum(x * w, axis=(1, 2, 3))[:, None]

    alpha = RNG.random((3, 1, 1, 1), np.float32)
    penalty = losses.gradient_penalty(critic, images(), images(), alpha)
    assert float(penalty) == pytest.approx(expected, abs=1e-5)


def test_penalty_is_taken_between_real_and_fake():
    # D(u) = |u|^2 / 2 has gradient u, so the norm is that of the interpolate itself.
    real, fake = images(), images()
    alpha = np.array([0.0, 0.25, 1.0], np.float32).reshape(3, 1, 1, 1)
    between = alpha * real + (1 - alpha) * fake
    norms = np.sqrt((between**2).sum(axis=(1, 2, 3)))

    def critic(x):
        return tf.reduce_sum(tf.square(x), axis=(1, 2, 3))[:, None] / 2

    penalty = losses.gradient_penalty(critic, real, fake, alpha)
    assert float(penalty) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def test_row_norm_is_the_released_codes():
    w = RNG.standard_normal((5, 5, 1)).astype(np.float32)

    def critic(x):
        return tf.reduce_sum(x * w, axis=(1, 2, 3))[:, None]

    norms = np.sqrt((w**2).sum(axis=0))  # over rows alone
    penalty = losses.gradient_penalty(
        critic, images(), images(), np.zeros((3, 1, 1, 1), np.float32), "row"
    )
    assert float(penalty) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def test_penalty_has_a_gradient_where_the_critics_is_zero():
    w = tf.Variable(tf.zeros([5, 5, 1]))
    with tf.GradientTape() as tape:
        penalty = losses.gradient_penalty(
            lambda x: tf.reduce_sum(x * w, axis=(1, 2, 3))[:, None],
            images(),
            images(),
            np.zeros((3, 1, 1, 1), np.float32),
        )
    assert np.isfinite(tape.gradient(penalty, w).numpy()).all()


def test_pixel_and_feature_terms_are_means():
    a, b = images(), images()
    assert float(losses.mean_absolute(a, b)) == pytest.approx(np.abs(a - b).mean(), rel=1e-5)
    assert float(losses.mean_squared(a, b)) == pytest.approx(((a - b) ** 2).mean(), rel=1e-5)
    assert float(losses.perceptual(a, b)) == pytest.approx(((a - b) ** 2).mean(), rel=1e-5)


def test_half_precision_input_is_computed_in_single():
    a = tf.fill([4, 64, 64, 1], tf.constant(1000.0, tf.float16))
    b = tf.zeros([4, 64, 64, 1], tf.float16)
    assert float(losses.mean_squared(a, b)) == pytest.approx(1e6)
