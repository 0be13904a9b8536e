"""Metrics against scikit-image, NumPy's FFT and hand-worked numbers."""

import numpy as np
import pytest
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from data_prep.kspace import Degradation, kept_box, zero_filled
from srmri_tf import metrics

RNG = np.random.default_rng(0)
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def smooth(shape):
    """A bright disc with a gradient, in black: what a slice of a head looks like from afar."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] / (np.array(shape)[:, None, None] - 1) - 0.5
    return np.where(rows**2 + cols**2 < 0.16, 0.6 + 0.4 * rows + 0.3 * cols, 0).astype(np.float32)


def pairs():
    """Images that try float32: noise, flat areas, offsets, negative values, odd shapes."""
    disc = smooth((64, 51))
    noise = RNG.standard_normal(disc.shape)
    yield "noisy", (disc + 0.05 * noise).astype(np.float32), disc
    yield "equal", disc, disc
    yield "flat", np.full_like(disc, 0.91), np.full_like(disc, 0.9)
    yield "far apart", 1 - disc, disc
    yield "black", np.zeros_like(disc), disc
    yield "dim", 0.01 * (disc + 0.05 * noise).astype(np.float32), 0.01 * disc
    yield "ringing", zero_filled(disc, Degradation()) - np.float32(0.1), disc
    yield "smallest", disc[25:36, 25:36] + np.float32(0.1), disc[25:36, 25:36]
    wide = smooth((70, 130))
    yield "wide", (wide + 0.1 * RNG.standard_normal(wide.shape)).astype(np.float32), wide


@pytest.mark.parametrize(("image", "truth"), [p[1:] for p in pairs()], ids=[p[0] for p in pairs()])
@pytest.mark.parametrize("data_range", [1.0, 0.7])
def test_every_figure_is_scikit_images(image, truth, data_range):
    """GAUSSIAN are the paper's settings, scikit-image's defaults fastMRI's."""
    x, y = image.astype(np.float64), truth.astype(np.float64)
    ours = metrics.ssim(image, truth, data_range)
    theirs = structural_similarity(x, y, data_range=data_range, **GAUSSIAN)
    assert ours == pytest.approx(theirs, abs=1e-9)
    inside = metrics.ssim_map(image, truth, data_range)[5:-5, 5:-5]
    assert inside.mean() == pytest.approx(metrics.ssim(image, truth, data_range), abs=1e-12)
    ours = metrics.ssim(image, truth, data_range, "uniform")
    assert ours == pytest.approx(structural_similarity(x, y, data_range=data_range), abs=1e-9)
    with np.errstate(divide="ignore"):
        theirs = peak_signal_noise_ratio(y, x, data_range=data_range)
    assert metrics.psnr(image, truth, data_range) == pytest.approx(theirs, abs=1e-6)
    assert metrics.nrmse(image, truth) == pytest.approx(normalized_root_mse(y, x), abs=1e-6)


def test_psnr_by_hand():
    truth = np.zeros((4, 4), np.float32)
    assert metrics.psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-5)
    assert metrics.psnr(truth + 0.1, truth, data_range=10) == pytest.approx(40.0, abs=1e-5)
    assert metrics.psnr(truth, truth) == float("inf")


def test_nrmse_by_hand():
    assert metrics.nrmse(np.array([[3.0, 1.0]]), np.array([[3.0, 4.0]])) == pytest.approx(3 / 5)
    assert np.isnan(metrics.nrmse(np.ones((2, 2)), np.zeros((2, 2))))


@pytest.mark.parametrize("shape", [(16, 16), (15, 16), (16, 15), (9, 13)])
@pytest.mark.parametrize("keep", [0.25, 0.4, 1.0])
def test_high_frequency_energy_is_that_outside_the_box(shape, keep):
    degradation = Degradation(keep=keep)
    image = RNG.random(shape).astype(np.float32)
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    spectrum[kept_box(shape, degradation)] = 0
    expected = (np.abs(spectrum) ** 2).sum()
    assert metrics.high_frequency_energy(image, degradation) == pytest.approx(expected, rel=1e-5)


def test_high_frequency_is_one_for_the_truth_and_none_for_its_low_resolution():
    truth = RNG.random((32, 32)).astype(np.float32)
    lr = zero_filled(truth, Degradation(lr="real"))
    assert metrics.high_frequency(truth, truth, Degradation()) == 1
    # The Nyquist row and column of the even box have no mirror in it, so the real part leaks.
    assert metrics.high_frequency(lr, truth, Degradation()) < 0.05
    half = (truth + lr) / 2
    assert metrics.high_frequency(half, truth, Degradation()) == pytest.approx(0.25, abs=0.05)
    for flat in (np.ones_like(truth), np.full((37, 53), 0.37, np.float32)):  # or rounding alone
        image = np.random.default_rng(0).random(flat.shape, np.float32)
        assert np.isnan(metrics.high_frequency(image, flat, Degradation()))


def test_images_smaller_than_a_window_or_of_another_shape_are_refused():
    small = smooth((10, 40))
    with pytest.raises(ValueError, match="win_size"):
        metrics.ssim(small, small)
    assert metrics.ssim(small, small, window="uniform") == 1
    with pytest.raises(ValueError, match="same dimensions"):
        metrics.ssim(smooth((12, 12)), smooth((12, 13)))


def test_a_network_that_failed_scores_nan():
    assert np.isnan(metrics.ssim(np.full((12, 12), np.nan, np.float32), smooth((12, 12))))


def test_air_is_a_slice_without_tissue():
    assert metrics.is_background(np.full((8, 8), 0.04))
    assert not metrics.is_background(np.eye(8))
