"""Metrics against scikit-image and hand-worked numbers."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srmri_tf import metrics

RNG = np.random.default_rng(0)


def test_psnr_by_hand():
    truth = np.zeros((4, 4), np.float32)
    assert metrics.psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-5)
    assert metrics.psnr(truth + 0.1, truth, data_range=10) == pytest.approx(40.0, abs=1e-5)
    assert metrics.psnr(truth, truth) == float("inf")


def test_psnr_and_ssim_are_scikit_images():
    truth = RNG.random((40, 37)).astype(np.float32)
    image = np.clip(truth + 0.05 * RNG.standard_normal(truth.shape), 0, 1).astype(np.float32)
    assert metrics.psnr(image, truth) == pytest.approx(
        peak_signal_noise_ratio(truth, image, data_range=1), abs=1e-5
    )
    expected = structural_similarity(
        image, truth, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(image, truth) == pytest.approx(expected, abs=1e-6)


def test_air_is_a_slice_without_tissue():
    assert metrics.is_air(np.full((8, 8), 0.04))
    assert not metrics.is_air(np.eye(8))
