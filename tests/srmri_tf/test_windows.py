"""Windowed sums against SciPy's filters."""

import numpy as np
import pytest
import scipy.ndimage

from srmri_tf.windows import GAUSSIAN, UNIFORM, WindowedSums, whole_blocks

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("window", [GAUSSIAN, UNIFORM], ids=["gaussian", "uniform"])
@pytest.mark.parametrize("shape", [(1, 1), (8, 16), (9, 17), (30, 50)])
def test_sums_are_scipys_and_can_be_taken_again(window, shape):
    spare, block = len(window.taps) - 1, whole_blocks(*shape)
    inputs = np.zeros((2, block[0] + spare + 1, block[1] + spare + 2), np.float32)
    sums = WindowedSums(window, inputs, block, (1.0, 49.0))
    inside = slice(spare // 2, -(spare // 2))
    for _ in range(2):
        images = RNG.random((2, shape[0] + spare, shape[1] + spare)).astype(np.float32)
        inputs[:, : images.shape[1], : images.shape[2]] = images
        found = sums()[:, : shape[0], : shape[1]]
        for image, scale, mine in zip(images.astype(np.float64), (1, 49), found, strict=True):
            rows = scipy.ndimage.correlate1d(image, window.taps, axis=0)
            theirs = scipy.ndimage.correlate1d(rows, window.taps, axis=1)[inside, inside]
            np.testing.assert_allclose(mine, scale * theirs, rtol=1e-6)


def test_the_gaussian_is_that_of_sigma_1_5_and_sums_to_one_exactly():
    impulse = np.zeros(11)
    impulse[5] = 1
    theirs = scipy.ndimage.gaussian_filter1d(impulse, 1.5, truncate=3.5)
    np.testing.assert_allclose(GAUSSIAN.taps, theirs, atol=2**-24)
    assert np.sum(np.array(GAUSSIAN.taps, np.float32)) == 1
    assert GAUSSIAN.weight == 1
