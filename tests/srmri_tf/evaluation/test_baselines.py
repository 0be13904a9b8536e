"""Bicubic interpolation of the measured matrix, on images known at every point."""

import numpy as np
import pytest

from data_prep.kspace import Degradation, zero_filled
from srmri_tf.evaluation.baselines import bicubic, small_image


def wave(rows, cols):
    """A smooth periodic image, known at any point of the unit square; all low frequencies."""
    r, c = np.mgrid[:rows, :cols] / np.array([rows, cols])[:, None, None]
    return 0.5 + 0.2 * np.cos(2 * np.pi * (2 * r + c)) + 0.1 * np.sin(2 * np.pi * (3 * c - 0.2))


SHAPES = [(64, 64), (64, 48), (45, 52), (51, 63)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_small_image_is_the_same_scene_on_a_coarser_grid(shape):
    lr = zero_filled(wave(*shape), Degradation())
    small = small_image(lr, Degradation())
    assert small.shape[0] == pytest.approx(shape[0] / 2, abs=1)
    np.testing.assert_allclose(small, wave(*small.shape), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "lr"),
    [(shape, lr) for shape in SHAPES for lr in ("magnitude", "real")]
    + [(shape, "coarse") for shape in SHAPES[:2]],
)
def test_a_smooth_image_comes_back_unshifted(shape, lr):
    truth = wave(*shape)
    degradation = Degradation(lr=lr)
    back = bicubic(zero_filled(truth, degradation), degradation)
    assert back.dtype == np.float32
    assert np.abs(back - truth).max() < 1e-3
    # A shift by half a pixel would be seen: it changes this image far more.
    assert np.abs(truth - wave(2 * shape[0], 2 * shape[1])[1::2, 1::2]).max() > 0.02


def test_keeping_everything_changes_nothing():
    truth = np.random.default_rng(0).random((24, 31)).astype(np.float32)
    np.testing.assert_allclose(bicubic(truth, Degradation(keep=1)), truth, atol=1e-5)
