"""Training pairs changed at random: by what, how often, and again the same."""

import functools
from itertools import chain

import numpy as np
from scipy.stats import binomtest, kstest

from srmri_tf.recipes.config import Augmentation
from tests.srmri_tf.conftest import PATCH
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


def test_noise_is_gaussian_of_every_deviation_up_to_the_largest_and_on_the_input_alone(
    shards,
):
    images = functools.partial(images_of, shards, range(20))
    plain, noisy = images(flips=True), images(flips=True, noise=0.1)
    np.testing.assert_array_equal(noisy[1], plain[1])
    noise = noisy[0] - plain[0]
    deviations = noise.std((1, 2))
    assert kstest(deviations, "uniform", (0, 0.1)).pvalue > 0.001
    assert kstest(noise[0].ravel() / deviations[0], "norm").pvalue > 0.001
    correlations = np.corrcoef(noise.reshape(len(noise), -1)) - np.eye(len(noise))
    assert np.abs(correlations).max() < 6 / np.sqrt(noise[0].size)
    again = images_of(shards, range(1, 2), flips=True, noise=0.1)
    count = again.shape[1]
    np.testing.assert_array_equal(again, noisy[:, count : 2 * count])


def test_noise_comes_to_a_share_of_pairs(shards):
    images = functools.partial(images_of, shards, range(40))
    plain, noisy = images(), images(noise=0.1, noise_share=0.25)
    changed = (noisy != plain)[0].any((1, 2))
    assert binomtest(int(changed.sum()), len(changed), 0.25).pvalue > 0.001
    deviations = (noisy - plain)[0, changed].std((1, 2))
    assert kstest(deviations, "uniform", (0, 0.1)).pvalue > 0.001


def test_erasing_sets_a_rectangle_of_both_images_to_zero_in_a_share_of_pairs(shards):
    images = functools.partial(images_of, shards, range(40))
    plain, erased = images(), images(erase=0.25)
    changed = 0
    for before, after in zip(plain.swapaxes(0, 1), erased.swapaxes(0, 1), strict=True):
        rows, columns = np.nonzero((before != after).any(0))
        changed += rows.size > 0
        if rows.size:
            inside = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
            before = before.copy()
            before[:, *inside] = 0
            np.testing.assert_array_equal(after, before)
    count = plain.shape[1]
    has_pixels = (1 - 1 / PATCH) ** 2  # two corners lie between the same pixels in 1 of PATCH cases
    assert binomtest(changed, count, 0.25 * has_pixels).pvalue > 0.001
    assert not np.array_equal(images_of(shards, range(1)), images_of(shards, range(1), erase=1.0))
    noisy = images_of(shards, range(2), erase=0.25, noise=0.1)
    np.testing.assert_array_equal(noisy[1], erased[1, : noisy.shape[1]])
