"""Training pairs changed at random: by what, how often, and again the same."""

import functools
from itertools import chain

import numpy as np

from srmri_tf.recipes.config import Augmentation
from tests.srmri_tf.data.test_dataset import epochs_of

FLIPS = Augmentation(flips=True)


def images_of(folder, epochs, **how):
    """Low- and high-resolution patches of some epochs, changed as said, (2, N, H, W)."""
    changed = epochs_of(folder, 8, 1, epochs, augmentation=Augmentation(**how))
    batches = chain.from_iterable(changed)
    return np.concatenate([np.stack(pair)[..., 0] for pair in batches], axis=1)


def test_flips_mirror_both_images_alike_and_follow_from_seed_and_epoch(shards):
    plain = epochs_of(shards, 8, 1, range(2))
    flipped = epochs_of(shards, 8, 1, range(2), augmentation=FLIPS)
    again = epochs_of(shards, 8, 1, range(1, 2), augmentation=FLIPS)
    seen = set()
    for epoch, mirrored in zip(plain, flipped, strict=True):
        for (lr, hr), (lr_mirrored, hr_mirrored) in zip(epoch, mirrored, strict=True):
            for images in zip(lr, hr, lr_mirrored, hr_mirrored, strict=True):
                low, high, low_mirrored, high_mirrored = (image[..., 0] for image in images)
                ways = [
                    axes
                    for axes in ((), (0,), (1,), (0, 1))
                    if np.array_equal(np.flip(high, axes), high_mirrored)
                ]
                assert len(ways) == 1
                np.testing.assert_array_equal(np.flip(low, ways[0]), low_mirrored)
                seen.add(ways[0])
    assert seen == {(), (0,), (1,), (0, 1)}
    for (lr, _), (lr_again, _) in zip(flipped[1], again[0], strict=True):
        np.testing.assert_array_equal(lr, lr_again)


def test_transposes_exchange_rows_and_columns_of_both_images_alike(shards):
    images = functools.partial(images_of, shards, range(2))
    plain, turned, flipped = images(), images(transposes=True), images(flips=True)
    both = images(flips=True, transposes=True)
    seen = set()
    for k in range(plain.shape[1]):
        is_turned = not np.array_equal(turned[:, k], plain[:, k])
        axes = (0, 2, 1) if is_turned else (0, 1, 2)
        np.testing.assert_array_equal(turned[:, k], plain[:, k].transpose(axes))
        np.testing.assert_array_equal(both[:, k], flipped[:, k].transpose(axes))
        seen.add((is_turned, np.array_equal(flipped[:, k], plain[:, k])))
    assert len(seen) == 4  # neither follows from the other
    again = images_of(shards, range(1, 2), transposes=True)
    np.testing.assert_array_equal(again, turned[:, -again.shape[1] :])
