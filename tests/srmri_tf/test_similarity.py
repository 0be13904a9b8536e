"""SSIM of many images and windows at once, against scikit-image's of one."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from srmri_tf.similarity import Similarity
from srmri_tf.windows import GAUSSIAN, UNIFORM

RNG = np.random.default_rng(0)
#: scikit-image's names for the windows, in the order of `WINDOWS`.
THEIRS = ({"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}, {})
WINDOWS = (GAUSSIAN, UNIFORM)


def truth_of(shape, scale=1.0):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return (scale * (0.5 + 0.4 * np.sin(rows / 9) * np.cos(cols / 7))).astype(np.float32)


def theirs(images, truth, data_ranges):
    """In float64; (windows, images)."""
    y, xs = truth.astype(np.float64), [x.astype(np.float64) for x in images]
    return [
        [structural_similarity(x, y, data_range=limit, **options) for x in xs]
        for options, limit in zip(THEIRS, data_ranges, strict=True)
    ]


@pytest.mark.parametrize("shape", [(11, 11), (12, 40), (68, 64), (70, 33), (75, 90), (200, 150)])
def test_many_images_and_windows_score_as_scikit_image_scores_each(shape):
    """Heights of one strip and of several, whose last one window reaches and the other does not."""
    truth = truth_of(shape)
    images = [truth, truth + np.float32(0.1), 1 - truth, RNG.random(shape).astype(np.float32)]
    found = Similarity(shape, WINDOWS)(images, truth, (1.0, 0.7))
    expected = theirs(images, truth, (1.0, 0.7))
    # What is held to seven digits is the distance to 1, which an inverted image has more of.
    np.testing.assert_allclose(1 - found, 1 - np.array(expected), rtol=1e-6, atol=1e-6)


def test_nothing_is_left_behind_for_the_next_image_or_slice():
    """Intensities whose squares of squares overflow, and a network that failed."""
    shape, ranges = (150, 37), (4000.0, 3000.0)
    truth = truth_of(shape, 4000)
    images = [truth + np.float32(50) * k for k in (1, 2)]
    failed = np.full_like(truth, np.nan)
    similarity = Similarity(shape, WINDOWS)
    for _ in range(2):
        found = similarity([images[0], failed, *images], truth, ranges)
        expected = theirs([images[0], *images], truth, ranges)
        np.testing.assert_allclose(found[:, [0, 2, 3]], expected, atol=1e-6)
        assert np.isnan(found[:, 1]).all()
    dim = truth_of(shape) / 2
    found = similarity([dim + np.float32(0.1)], dim, (1.0, 0.9))
    np.testing.assert_allclose(found, theirs([dim + np.float32(0.1)], dim, (1.0, 0.9)), atol=1e-6)


def test_images_smaller_than_a_window_or_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="at least 11"):
        Similarity((10, 40), WINDOWS)
    assert Similarity((7, 40), [UNIFORM])
    images = [np.zeros((12, 12)), np.zeros((12, 13))]
    with pytest.raises(ValueError, match=r"\(12, 13\)"):
        Similarity((12, 12), WINDOWS)(images, images[0], (1, 1))
