"""Image quality against the truth, with range, window and normalisation always named.

Images are (H, W) float32; those of several methods against one truth share its part of the work.
The paper's convention is a range of 1 for volumes scaled to [0, 1]; fastMRI's is the volume's
maximum and a 7x7 uniform window.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import scipy.fft

from data_prep.kspace import Degradation, kept_box
from srmri_tf.similarity import Similarity, sums_of_products
from srmri_tf.windows import GAUSSIAN, Window

BACKGROUND_LEVEL = 0.05
_STRIP = 64  # rows at a time: differences stay in the cache, and cost no page faults


def psnr(image: np.ndarray, truth: np.ndarray, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB; infinite where the two are equal."""
    return psnr_of(float(squared_errors([image], truth)[0]) / truth.size, data_range)


def psnr_of(mean_squared_error: float, data_range: float) -> float:
    """PSNR in dB of a mean squared error."""
    if mean_squared_error == 0:
        return float("inf")
    return float(10 * np.log10(data_range**2 / mean_squared_error))


def ssim(
    image: np.ndarray, truth: np.ndarray, data_range: float = 1.0, window: Window = GAUSSIAN
) -> float:
    """Structural similarity, K 0.01 and 0.03, mean over the pixels whose window fits inside.

    Args:
        image: (H, W) float.
        truth: (H, W) float.
        data_range: Of the intensities; 1 for volumes scaled to [0, 1].
        window: `GAUSSIAN`, or `UNIFORM` as fastMRI.

    Raises:
        ValueError: A side is shorter than the window.

    Source: Wang et al. 2004.
    """
    return float(Similarity(truth.shape, [window])([image], truth, [data_range])[0, 0])


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """Root of the squared error over the truth's Euclidean norm: ||x - y|| / ||y||.

    The square of it is fastMRI's NMSE. Infinite or NaN for a truth that is zero everywhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(squared_errors([image], truth)[0] / np.float64(power(truth))))


def spectral_ratio(image: np.ndarray, truth: np.ndarray, degradation: Degradation) -> float:
    """Power outside the kept box of k-space over the truth's: 1 is as much detail as the truth.

    It says how much, not whether it is right: noise has power as well.

    Args:
        image: (H, W) float.
        truth: (H, W) float.
        degradation: Which box of k-space the low-resolution image kept.

    Returns:
        sum |FFT(image)|^2 / sum |FFT(truth)|^2 over the frequencies that were not kept; NaN if
        the truth has nothing there.
    """
    mine, theirs = detail_power([image, truth], degradation)
    return float(mine / theirs) if theirs else float("nan")


def is_background(truth: np.ndarray) -> bool:
    """Whether a slice of a volume scaled to [0, 1] shows no tissue: nothing reaches 5 %.

    Such slices score near-infinite PSNR for any method and would drown the others in a mean.
    """
    return bool(truth.max() < BACKGROUND_LEVEL)


def squared_errors(images: Sequence[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """(M,) float64: the squared error of each of M images (H, W), summed over its pixels."""
    strips = [slice(row, row + _STRIP) for row in range(0, truth.shape[0], _STRIP)]
    return np.array([sum(power(image[s] - truth[s]) for s in strips) for image in images])


def power(image: np.ndarray) -> float:
    """Sum of squares of an image (H, W)."""
    return float(sums_of_products(image, image).sum())


def detail_power(images: Sequence[np.ndarray], degradation: Degradation) -> np.ndarray:
    """(M,) float64: each image's spectral power outside the kept box of k-space.

    Rows of k-space that the box does not touch need no transform along them: by Parseval's theorem
    their power is that before it, times the width.

    Args:
        images: M of (H, W) float.
        degradation: Decides the box.
    """
    height, width = images[0].shape
    touched, columns, weights = _outside((height, width), degradation)
    times = np.full(height // 2 + 1 - touched, 2.0 * width)  # the half left out is the mirror
    if height % 2 == 0 and len(times):
        times[-1] = width  # the Nyquist row is its own mirror
    found = []
    for image in images:
        half = scipy.fft.rfft(np.asarray(image, np.float32), axis=0)
        parts = half[touched:].view(np.float32)
        untouched = sums_of_products(parts, parts) @ times
        lines = scipy.fft.fft(half[:touched], axis=1, overwrite_x=True)
        parts = lines[:, columns].view(np.float32)
        found.append(untouched + sums_of_products(parts * weights, parts).sum())
    return np.array(found)


@lru_cache
def _outside(shape: tuple[int, int], degradation: Degradation) -> tuple[int, slice, np.ndarray]:
    """Where a real FFT's half of k-space (H // 2 + 1, W) is partly in the box and partly not.

    Returns:
        The rows that the box or its mirror touches, which are the first; of their columns those
        not wholly inside; and of both, as float32 for real and imaginary parts in turn, how often
        each frequency lies outside the box. The half that a real FFT leaves out mirrors the other:
        F(-k) is the conjugate of F(k).
    """
    outside = np.ones(shape, np.float32)
    outside[kept_box(shape, degradation)] = 0
    outside = scipy.fft.ifftshift(outside)
    mirrored = outside[np.ix_(-np.arange(shape[0]), -np.arange(shape[1]))]
    half = outside[: shape[0] // 2 + 1].copy()
    inner = slice(1, (shape[0] + 1) // 2)
    touched = int(np.flatnonzero(np.minimum(half, mirrored[: len(half)]).min(1) == 0)[-1]) + 1
    half[inner] += mirrored[inner]
    some = np.flatnonzero(half[:touched].any(0))
    columns = slice(int(some[0]), int(some[-1]) + 1) if len(some) else slice(0)
    return touched, columns, half[:touched, columns].repeat(2, axis=1)
