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
        The same, mirrored and transposed.
    """
    lr, hr, *paired = sample
    state = tf.stack([tf.constant(seed, tf.int64), step])
    chosen = tf.random.stateless_uniform([3, tf.shape(lr)[0], 1, 1, 1], state) < 0.5
    for axis in (1, 2) if how.flips else ():
        lr, hr = (tf.where(chosen[axis - 1], tf.reverse(x, [axis]), x) for x in (lr, hr))
    if how.transposes:
        lr, hr = (tf.where(chosen[2], tf.transpose(x, [0, 2, 1, 3]), x) for x in (lr, hr))
    return lr, hr, *paired
