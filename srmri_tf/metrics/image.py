"""Image quality against the truth, with range, window and normalisation always named.

Images are (H, W) float32. The paper's convention is a range of 1 for volumes scaled to [0, 1];
fastMRI's is the volume's maximum and a 7x7 uniform window.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy  # imports its parts, which are slow, where they are first used
from skimage.metrics import structural_similarity

from data_prep.kspace import Degradation, kept_box

ROUNDING = 1e-12
"""Part of an image's energy that an FFT of float32 may have made."""

BACKGROUND_LEVEL = 0.05
Window = Literal["gaussian", "uniform"]
#: scikit-image's own defaults are the uniform window's, which fastMRI's evaluate.py takes.
_WINDOWS: dict[Window, dict[str, bool | float]] = {
    "gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    "uniform": {},
}


def psnr(image: np.ndarray, truth: np.ndarray, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB; infinite where the two are equal.

    Examples:
        An error of a tenth of the range everywhere is 20 dB.

        >>> round(psnr(np.full((4, 4), 0.6), np.full((4, 4), 0.5)), 6)
        20.0
    """
    return psnr_of(squared_error(image, truth) / truth.size, data_range)


def psnr_of(mean_squared_error: float, data_range: float) -> float:
    """PSNR in dB of a mean squared error."""
    if mean_squared_error == 0:
        return float("inf")
    return float(10 * np.log10(data_range**2 / mean_squared_error))


def ssim(
    image: np.ndarray, truth: np.ndarray, data_range: float = 1.0, window: Window = "gaussian"
) -> float:
    """Structural similarity, K 0.01 and 0.03, mean over the pixels whose window fits inside.

    Args:
        image: (H, W) float.
        truth: (H, W) float.
        data_range: Of the intensities; 1 for volumes scaled to [0, 1].
        window: ``gaussian``: 11x11, sigma 1.5, no sample covariance; ``uniform``: 7x7, sample
            covariance, as fastMRI.

    Raises:
        ValueError: A side is shorter than the window, or the shapes differ.

    Examples:
        >>> truth = np.random.default_rng(0).random((16, 16))
        >>> ssim(truth, truth)
        1.0

    Source: Wang et al. 2004.
    """
    return float(_similarity(image, truth, data_range, window)[0])


def ssim_map(
    image: np.ndarray, truth: np.ndarray, data_range: float = 1.0, window: Window = "gaussian"
) -> np.ndarray:
    """The same of every pixel, (H, W): `ssim` is its mean where the window fits inside."""
    return _similarity(image, truth, data_range, window)[1]


def _similarity(
    image: np.ndarray, truth: np.ndarray, data_range: float, window: Window
) -> tuple[float, np.ndarray]:
    # In float32 bright, flat areas are off by up to 4e-5.
    x, y = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    return structural_similarity(x, y, data_range=data_range, full=True, **_WINDOWS[window])


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """Root of the squared error over the truth's Euclidean norm: ||x - y|| / ||y||.

    The square of it is fastMRI's NMSE. NaN for a truth that is zero everywhere.
    """
    return ratio(squared_error(image, truth), energy(truth)) ** 0.5


def high_frequency(image: np.ndarray, truth: np.ndarray, degradation: Degradation) -> float:
    """High-frequency energy ratio: energy outside the kept box of k-space over the truth's.

    1 is as much as the truth has, 0 none. It says how much, not whether it is right: noise has
    energy as well.

    Args:
        image: (H, W) float.
        truth: (H, W) float.
        degradation: Which box of k-space the low-resolution image kept.

    Returns:
        sum |FFT(image)|^2 / sum |FFT(truth)|^2 over the frequencies that were not kept; NaN if
        the truth has nothing there.
    """
    mine, theirs = (high_frequency_energy(x, degradation) for x in (image, truth))
    return ratio(mine, theirs)


def is_background(truth: np.ndarray) -> bool:
    """Whether a slice of a volume scaled to [0, 1] shows no tissue: nothing reaches 5 %.

    Such slices score near-infinite PSNR for any method and would drown the others in a mean.
    """
    return bool(truth.max() < BACKGROUND_LEVEL)


def squared_error(image: np.ndarray, truth: np.ndarray) -> float:
    """Squared error of an image (H, W), summed over its pixels."""
    return energy(image - truth)


def energy(image: np.ndarray) -> float:
    """Sum of squares of an image (H, W)."""
    return float(np.sum(np.square(image), dtype=np.float64))


def high_frequency_energy(image: np.ndarray, degradation: Degradation) -> float:
    """Energy of an image (H, W) outside the kept box of k-space: sum |FFT(image)|^2.

    0 where there is no more than an FFT's rounding.
    """
    spectrum = scipy.fft.fft2(np.asarray(image, np.float32), overwrite_x=True)
    found = energy(np.abs(spectrum[_outside(image.shape, degradation)]))
    return found if found > ROUNDING * image.size * energy(image) else 0.0


def ratio(part: float, whole: float) -> float:
    """``part / whole``; NaN where there is no whole."""
    return part / whole if whole else float("nan")


@lru_cache
def _outside(shape: tuple[int, int], degradation: Degradation) -> np.ndarray:
    """(H, W) bool: the frequencies, in the order of an FFT, that the box does not keep."""
    outside = np.ones(shape, bool)
    outside[kept_box(shape, degradation)] = False
    return scipy.fft.ifftshift(outside)
