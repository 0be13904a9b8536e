"""Every loss against numbers worked out by hand or with NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.networks import losses

RNG = np.random.default_rng(0)


def images(batch=3, side=5):
    return RNG.random((batch, side, side, 1), np.float32)


def test_wasserstein_terms_are_means_of_scores():
    real, fake = tf.constant([[3.0], [5.0]]), tf.constant([[1.0], [-4.0]])
    assert float(losses.wasserstein_critic(real, fake)) == pytest.approx(-1.5 - 4.0)
    assert float(losses.wasserstein_generator(fake)) == pytest.approx(1.5)


def gradient_penalty(critic, *images):
    """The penalty of a critic, in a graph, which it needs."""
    return tf.function(lambda *images: losses.gradient_penalty(critic, *images))(*images)


@pytest.mark.parametrize(("gain", "expected"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_penalty_of_a_linear_critic_is_its_norm_minus_one_squared(gain, expected):
    w = RNG.standard_normal((5, 5, 1)).astype(np.float32)
    w *= gain / np.linalg.norm(w)

    def critic(x):
        return tf.reduce_sum(x * w, axis=(1, 2, 3))[:, None]

    alpha = RNG.random((3, 1, 1, 1), np.float32)
    penalty = gradient_penalty(critic, images(), images(), alpha)
    assert float(penalty) == pytest.approx(expected, abs=1e-5)


def test_penalty_is_taken_between_real_and_fake():
    # D(u) = |u|^2 / 2 has gradient u, so the norm is that of the interpolate itself.
    real, fake = images(), images()
    alpha = np.array([0.0, 0.25, 1.0], np.float32).reshape(3, 1, 1, 1)
    between = alpha * real + (1 - alpha) * fake
    norms = np.sqrt((between**2).sum(axis=(1, 2, 3)))

    def critic(x):
        return tf.reduce_sum(tf.square(x), axis=(1, 2, 3))[:, None] / 2

    penalty = gradient_penalty(critic, real, fake, alpha)
    assert float(penalty) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def test_row_norm_is_the_released_codes():
    w = RNG.standard_normal((5, 5, 1)).astype(np.float32)

    def critic(x):
        return tf.reduce_sum(x * w, axis=(1, 2, 3))[:, None]

    norms = np.sqrt((w**2).sum(axis=0))  # over rows alone
    penalty = gradient_penalty(
        critic, images(), images(), np.zeros((3, 1, 1, 1), np.float32), "row"
    )
    assert float(penalty) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def test_penalty_has_a_gradient_where_the_critics_is_zero():
    w = tf.Variable(tf.zeros([5, 5, 1]))
    with tf.GradientTape() as tape:
        penalty = gradient_penalty(
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


# GAN-CIRCLE's terms are sums over each image, averaged over the batch.

ONE, TWO = np.ones((1, 2, 2, 1), np.float32), np.full((1, 2, 2, 1), 2, np.float32)


def test_cycle_and_identity_terms_by_hand():
    # Images of four pixels, each off by 1 or by 2: |.|_1 is 4 or 8, whatever the sign.
    x, y = np.zeros((1, 2, 2, 1), np.float32), 3 * ONE
    assert float(losses.cycle(x, ONE, y, TWO)) == pytest.approx(4 + 4)
    assert float(losses.cycle(x, TWO, y, y)) == pytest.approx(8)
    assert float(losses.identity(x, -TWO, y, y + ONE)) == pytest.approx(8 + 4)


def test_supervised_term_counts_pairs_only():
    x, y = np.zeros((2, 2, 2, 1), np.float32), np.zeros((2, 2, 2, 1), np.float32)
    x_fake, y_fake = np.concatenate([ONE, TWO]), np.concatenate([TWO, TWO])
    # First sample 4 + 8, second 8 + 8.
    assert float(losses.supervised(x, x_fake, y, y_fake)) == pytest.approx((12 + 16) / 2)
    for paired, expected in (([1, 0], 12 / 2), ([0, 1], 16 / 2), ([0, 0], 0)):
        flags = np.array(paired, np.float32)
        assert float(losses.supervised(x, x_fake, y, y_fake, flags)) == pytest.approx(expected)


def test_sparsity_term_by_hand():
    # A step of height 1 between two columns of two pixels has total variation 2.
    sr = np.array([[0, 1], [0, 1]], np.float32).reshape(1, 2, 2, 1)
    hr = np.array([[0, 0], [5, 5]], np.float32).reshape(1, 2, 2, 1)
    # The residual 0 -1 / 5 4: rows differ by 1 each, columns by 5 each.
    expected = 0.1 * 2 + 0.9 * (1 + 1 + 5 + 5)
    assert float(losses.joint_sparsity(sr, hr, 0.1)) == pytest.approx(expected)


def test_sparsity_term_is_tensorflows_total_variation():
    sr, hr = images(4, 9), images(4, 9)
    one, other = (tf.image.total_variation(tf.constant(z)).numpy() for z in (sr, hr - sr))
    expected = (0.3 * one + 0.7 * other).mean()
    assert float(losses.joint_sparsity(sr, hr, 0.3)) == pytest.approx(expected, rel=1e-5)
    down = np.abs(np.diff(sr, axis=1)).sum() + np.abs(np.diff(sr, axis=2)).sum()
    assert one.sum() == pytest.approx(down, rel=1e-5)


def test_image_terms_grow_with_the_image_and_not_with_the_batch():
    a, b = images(2, 8), images(2, 8)
    twice = [np.concatenate([z, z]) for z in (a, b)]
    wide = [np.concatenate([z, z], axis=2) for z in (a, b)]
    zero = np.zeros_like
    for term in (losses.cycle, losses.identity, losses.supervised):
        alone = float(term(a, b, zero(a), zero(a)))
        assert float(term(*twice, zero(twice[0]), zero(twice[0]))) == pytest.approx(alone)
        assert float(term(*wide, zero(wide[0]), zero(wide[0]))) == pytest.approx(2 * alone)


def test_image_terms_of_half_precision_are_computed_in_single():
    a = tf.fill([2, 64, 64, 1], tf.constant(100.0, tf.float16))
    b = tf.zeros([2, 64, 64, 1], tf.float16)
    assert float(losses.cycle(a, b, b, b)) == pytest.approx(409_600)
    assert float(losses.joint_sparsity(a, b, 0.1)) == 0
