"""The loss terms of the paper, one function per equation.

Image batches are (B, H, W, 1), scores (B, 1). Every function computes in float32 whatever it is
given, and returns a float32 scalar that is a mean over the batch, so that losses of equal parts of
a batch average to the loss of the whole.
"""

from collections.abc import Callable

import tensorflow as tf

from srmri_tf.networks.gradients import gradients

NORMS: dict[str, tuple[int, ...]] = {"sample": (1, 2, 3), "row": (1,)}


def wasserstein_critic(real_scores: tf.Tensor, fake_scores: tf.Tensor) -> tf.Tensor:
    """E[D(G(x))] - E[D(y)]: minus the critic's estimate of the Wasserstein distance.

    Source: the paper, equation 2, first two terms; [26], equation 1.
    """
    return _mean(fake_scores) - _mean(real_scores)


def wasserstein_generator(fake_scores: tf.Tensor) -> tf.Tensor:
    """-E[D(G(x))], what the generator minimises (the paper prints the opposite sign).

    Source: [23]; the paper, equation 2.
    """
    return -_mean(fake_scores)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor],
    real: tf.Tensor,
    fake: tf.Tensor,
    alpha: tf.Tensor,
    norm: str = "sample",
) -> tf.Tensor:
    """E[(||grad D(u)||_2 - 1)^2] at u = alpha y + (1 - alpha) G(x); inside a ``tf.function`` only.

    Args:
        critic: Maps (B, H, W, 1) images to (B, 1) scores.
        real: High-resolution images y.
        fake: Generated images G(x), already cut off from the generator's gradient.
        alpha: (B, 1, 1, 1) in [0, 1), one number per sample.
        norm: ``sample`` takes the norm of the whole per-sample gradient, as the mathematics asks.
            ``row`` takes it over image rows alone and averages the columns, as the released code
            of [23] does; the critic may then be about 8-Lipschitz at 64x64.

    Source: Gulrajani et al. 2017, equation 3; the paper, equation 2, third term.
    """
    real, fake = tf.cast(real, tf.float32), tf.cast(fake, tf.float32)
    between = alpha * real + (1.0 - alpha) * fake
    scores = tf.cast(critic(between), tf.float32)
    (gradient,) = gradients(scores, [between])
    # The square root has no gradient at zero; a critic with a zero gradient must still learn.
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradient), axis=NORMS[norm]) + 1e-12)
    return tf.reduce_mean(tf.square(norms - 1.0))


def perceptual(sr_features: tf.Tensor, hr_features: tf.Tensor) -> tf.Tensor:
    """E[(phi(G(x)) - phi(y))^2] over batch, positions and channels.

    Source: the paper, equation 3 (which misprints the argument of the first phi); [23].
    """
    return _mean_square(sr_features, hr_features)


def mean_absolute(sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
    """E|G(x) - y| per pixel: the content warm-up and the optional L1 term."""
    return _mean(tf.abs(tf.cast(sr, tf.float32) - tf.cast(hr, tf.float32)))


def mean_squared(sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
    """E(G(x) - y)^2 per pixel: the optional L2 term."""
    return _mean_square(sr, hr)


def cycle(x: tf.Tensor, x_cycle: tf.Tensor, y: tf.Tensor, y_cycle: tf.Tensor) -> tf.Tensor:
    """E||F(G(x)) - x||_1 + E||G(F(y)) - y||_1.

    Source: the paper, cycle-consistency loss; [26].
    """
    return _mean(_l1(x_cycle, x)) + _mean(_l1(y_cycle, y))


def identity(x: tf.Tensor, x_same: tf.Tensor, y: tf.Tensor, y_same: tf.Tensor) -> tf.Tensor:
    """E||G(y) - y||_1 + E||F(x) - x||_1.

    Source: the paper, identity loss; [26].
    """
    return _mean(_l1(y_same, y)) + _mean(_l1(x_same, x))


def joint_sparsity(sr: tf.Tensor, hr: tf.Tensor, tau: float) -> tf.Tensor:
    """TV of the image and of the residual: tau E||G||_TV + (1 - tau) E||y - G||_TV (anisotropic).

    Args:
        sr: G(x), or G(y) where x and y are no pair.
        hr: y.
        tau: Share of the first term, in [0, 1].

    Source: the paper, joint sparsifying transform loss; [26] and its released code.
    """
    sr, hr = tf.cast(sr, tf.float32), tf.cast(hr, tf.float32)
    variation = tf.image.total_variation
    return tau * _mean(variation(sr)) + (1 - tau) * _mean(variation(hr - sr))


def supervised(
    x: tf.Tensor,
    x_fake: tf.Tensor,
    y: tf.Tensor,
    y_fake: tf.Tensor,
    paired: tf.Tensor | None = None,
) -> tf.Tensor:
    """E||G(x) - y||_1 + E||F(y) - x||_1 over pairs.

    Args:
        x: Low-resolution images.
        x_fake: F(y).
        y: High-resolution images.
        y_fake: G(x).
        paired: (B,), 1 where x and y are a pair, else 0; None if all are. The mean is over the
            whole batch, so the term weighs as much as pairs are frequent.

    Source: [26], supervision loss.
    """
    distances = _l1(y_fake, y) + _l1(x_fake, x)
    return _mean(distances if paired is None else distances * paired)


def absolute(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """E||first - second||_1: one half of the cycle, the identity or the supervised term.

    Source: the paper, cycle-consistency and identity losses; [26].
    """
    return _mean(_l1(first, second))


def _l1(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """(B,) sums over each image: means over pixels would be drowned by the adversarial term."""
    difference = tf.cast(first, tf.float32) - tf.cast(second, tf.float32)
    return tf.reduce_sum(tf.abs(difference), axis=(1, 2, 3))


def _mean(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(values, tf.float32))


def _mean_square(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(
        tf.math.squared_difference(tf.cast(first, tf.float32), tf.cast(second, tf.float32))
    )
