"""Training pairs changed at random, as a recipe says. A pure function of seed and step."""

import tensorflow as tf

from srmri_tf.recipes.config import Augmentation

UNCHANGED = Augmentation()


def augmented(
    seed: int, how: Augmentation, step: tf.Tensor, sample: tuple[tf.Tensor, ...]
) -> tuple[tf.Tensor, ...]:
    """Change the pairs of a batch.

    Args:
        seed: With ``step``, decides the random numbers.
        how: What to change.
        step: () int64, the number of the batch in the whole run.
        sample: Images lr and hr (B, H, W, 1) float32, and whatever comes with them.

    Returns:
        The same, mirrored and transposed; a rectangle of both images is zero in some pairs; lr has
        noise in some.
    """
    lr, hr, *paired = sample
    state = tf.stack([tf.constant(seed, tf.int64), step])
    chosen = tf.random.stateless_uniform([3, tf.shape(lr)[0], 1, 1, 1], state) < 0.5
    for axis in (1, 2) if how.flips else ():
        lr, hr = (tf.where(chosen[axis - 1], tf.reverse(x, [axis]), x) for x in (lr, hr))
    if how.transposes:
        lr, hr = (tf.where(chosen[2], tf.transpose(x, [0, 2, 1, 3]), x) for x in (lr, hr))
    of_erasing, of_deviation, of_noise = tf.unstack(tf.random.split(state, 3))
    if how.erase:
        kept = _outside_rectangle(tf.shape(lr), of_erasing, how.erase)
        lr, hr = lr * kept, hr * kept
    if how.noise:
        drawn = tf.random.stateless_uniform([2, tf.shape(lr)[0], 1, 1, 1], of_deviation)
        deviation = how.noise * drawn[0] * tf.cast(drawn[1] < how.noise_share, tf.float32)
        lr += deviation * tf.random.stateless_normal(tf.shape(lr), of_noise)
    return lr, hr, *paired


def _outside_rectangle(shape: tf.Tensor, state: tf.Tensor, share: float) -> tf.Tensor:
    """(B, H, W, 1): 0 in a rectangle between two random corners in a share of images, else 1."""
    batch, height, width = shape[0], shape[1], shape[2]
    chosen = tf.random.stateless_uniform([5, batch, 1], state)

    def between(first: tf.Tensor, second: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        place, end = tf.cast(tf.range(size), tf.float32), tf.cast(size, tf.float32)
        return (place >= end * tf.minimum(first, second)) & (
            place < end * tf.maximum(first, second)
        )

    rows, columns = between(chosen[0], chosen[1], height), between(chosen[2], chosen[3], width)
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return 1.0 - tf.cast(inside & (chosen[4, :, :, None, None] < share), tf.float32)
