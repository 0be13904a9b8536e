"""Image quality against the truth, with range, window and normalisation always named.

Images are (H, W) float32, or a stack (M, H, W) of several methods against one truth (H, W), which
shares the truth's part of the work. The paper's convention is a range of 1 for volumes scaled to
[0, 1]; fastMRI's is the volume's maximum and a 7x7 uniform window.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft

from data_prep.kspace import kept_box
from data_prep.schema import Degradation

AIR_LEVEL = 0.05
K1, K2 = 0.01, 0.03
_BLOCK = 16  # output rows of one small matrix product: fastest of 16 to 128 for 256 x 256 slices
_STRIP = 64  # output rows at a time: temporaries stay in the cache, and cost no page faults


@dataclass(frozen=True)
class Window:
    """A separable window of SSIM.

    Args:
        taps: Weights along one axis. They and their sum are exact in float32: a variance is a
            difference of two sums, and a bias of either would not cancel.
        sample_covariance: Divide (co)variances by N - 1, not N, of the window's N pixels.
    """

    taps: tuple[float, ...]
    sample_covariance: bool

    @property
    def weight(self) -> float:
        """Sum of the weights of all pixels under the window."""
        return sum(self.taps) ** 2

    @property
    def covariance_factor(self) -> float:
        """What turns a mean of squared deviations into the (co)variance."""
        pixels = len(self.taps) ** 2
        return pixels / (pixels - 1) if self.sample_covariance else 1.0


def _gaussian(sigma: float, radius: int) -> tuple[float, ...]:
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    units = np.rint(taps / taps.sum() * 2**24)  # float32 holds 24 bits
    units[radius] += 2**24 - units.sum()
    return tuple((units / 2**24).tolist())


#: 11x11, sigma 1.5, no sample covariance. Source: Wang et al. 2004.
GAUSSIAN = Window(_gaussian(1.5, 5), sample_covariance=False)
#: 7x7, sample covariance. Source: fastMRI's evaluate.py, which takes scikit-image's defaults.
UNIFORM = Window((1.0,) * 7, sample_covariance=True)


def psnr(image: np.ndarray, truth: np.ndarray, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB; infinite where the two are equal."""
    return psnr_of(float(squared_errors(image[None], truth)[0]) / truth.size, data_range)


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
    return float(ssims(image[None], truth, data_range, window)[0])


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """Root of the squared error over the truth's Euclidean norm: ||x - y|| / ||y||.

    The square of it is fastMRI's NMSE. Infinite or NaN for a truth that is zero everywhere.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt(squared_errors(image[None], truth)[0] / np.float64(power(truth))))


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
    mine, theirs = detail_power(np.stack([image, truth]), degradation)
    return float(mine / theirs) if theirs else float("nan")


def is_air(truth: np.ndarray) -> bool:
    """Whether a slice of a volume scaled to [0, 1] shows no tissue: nothing reaches 5 %.

    Such slices score near-infinite PSNR for any method and would drown the others in a mean.
    """
    return bool(truth.max() < AIR_LEVEL)


def squared_errors(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(M,) float64: the squared error of each image (M, H, W), summed over its pixels."""
    strips = [slice(row, row + _STRIP) for row in range(0, truth.shape[0], _STRIP)]
    return np.array([sum(power(image[s] - truth[s]) for s in strips) for image in images])


def power(image: np.ndarray) -> float:
    """Sum of squares in float64."""
    return float(np.einsum("hw,hw->", image, image, dtype=np.float64))


def detail_power(images: np.ndarray, degradation: Degradation) -> np.ndarray:
    """(M,) float64: each image's spectral power outside the kept box of k-space.

    Args:
        images: (M, H, W) float.
        degradation: Decides the box.
    """
    spectra = scipy.fft.rfft2(np.asarray(images, np.float32))
    squares = np.square(spectra.real) + np.square(spectra.imag)
    weights = _outside((images.shape[1], images.shape[2]), degradation)
    return np.einsum("mhw,hw->m", squares, weights, dtype=np.float64)


def ssims(
    images: np.ndarray, truth: np.ndarray, data_range: float = 1.0, window: Window = GAUSSIAN
) -> np.ndarray:
    """Structural similarity of each image (M, H, W) to one truth (H, W), as (M,) float64.

    With d = x - y, both factors of SSIM are one minus something small, which float32 holds to
    1e-6 of the float64 result: luminance 1 - (mean d)^2 / (mean x^2 + mean y^2 + C1), contrast and
    structure 1 - var d / (var x + var y + C2).

    Raises:
        ValueError: A side is shorter than the window, or shapes differ.
    """
    if images.shape[1:] != truth.shape or min(truth.shape) < len(window.taps):
        raise ValueError(
            f"SSIM needs images of one shape, at least {len(window.taps)} pixels a side. "
            f"Received: {images.shape[1:]} and {truth.shape}"
        )
    # Variances do not feel a constant, and smaller numbers lose less to rounding.
    offset = np.float32(np.mean(truth))
    height = truth.shape[0] - len(window.taps) + 1
    sums = np.zeros(len(images))
    for start in range(0, height, _STRIP):
        strip = slice(start, min(start + _STRIP, height) + len(window.taps) - 1)
        y = np.asarray(truth[strip], np.float32) - offset
        sums += _strip_sums(images[:, strip], y, offset, data_range, window)
    return sums / (height * (truth.shape[1] - len(window.taps) + 1))


def _strip_sums(
    images: np.ndarray, y: np.ndarray, offset: np.float32, data_range: float, window: Window
) -> np.ndarray:
    """(M,) float64: the local SSIM of each image (M, h, W), summed over a strip of rows."""
    total, factor = window.weight, window.covariance_factor
    c1, c2 = ((k * data_range * total) ** 2 for k in (K1, K2))
    sum_y, squares_y = _filtered(np.stack([y, y * y]), window.taps)
    energy_y = sum_y * sum_y
    offset_sum = np.float32(offset * total)
    bright_y = np.square(sum_y + offset_sum) + np.float32(c1)
    stack = np.empty((3, *y.shape), np.float32)
    sums = []
    for image in images:
        x = np.subtract(image, offset, out=stack[1], dtype=np.float32, casting="same_kind")
        d = np.subtract(x, y, out=stack[0])
        x *= x
        np.multiply(d, d, out=stack[2])
        # In place from here on: fresh arrays would cost more than the arithmetic.
        sum_x, spread, contrast = _filtered(stack, window.taps)
        shift = sum_x * sum_x
        sum_x += sum_y
        contrast *= total
        contrast -= shift
        contrast *= factor
        spread += squares_y
        spread *= total
        spread -= energy_y
        spread -= sum_x * sum_x
        spread *= factor
        spread += c2
        contrast /= spread
        sum_x += offset_sum
        sum_x *= sum_x
        sum_x += bright_y
        shift /= sum_x
        np.subtract(1, shift, out=shift)
        np.subtract(1, contrast, out=contrast)
        shift *= contrast
        sums.append(np.sum(shift, dtype=np.float64))
    return np.array(sums)


def _filtered(stack: np.ndarray, taps: tuple[float, ...]) -> np.ndarray:
    """Weighted sums of images (n, H, W) wherever the window fits: (n, H - r, W - r) float32.

    As products with a small banded matrix, block by block: matrix products are what processors do
    best, and small blocks waste little on the zeros outside the band.
    """
    count, height, width = stack.shape
    spare = len(taps) - 1
    band, transposed = _band(taps)
    rows = np.empty((count, height - spare, width), np.float32)
    for start in range(0, height - spare, _BLOCK):
        size = min(_BLOCK, height - spare - start)
        inputs = stack[:, start : start + size + spare]
        np.matmul(band[:size, : size + spare], inputs, out=rows[:, start : start + size])
    flat = rows.reshape(-1, width)
    both = np.empty((len(flat), width - spare), np.float32)
    for start in range(0, width - spare, _BLOCK):
        size = min(_BLOCK, width - spare - start)
        inputs = flat[:, start : start + size + spare]
        np.matmul(inputs, transposed[: size + spare, :size], out=both[:, start : start + size])
    return both.reshape(count, height - spare, width - spare)


@lru_cache
def _band(taps: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(_BLOCK, _BLOCK + taps - 1) float32, row i holding the taps from column i on; transposed."""
    band = np.zeros((_BLOCK, _BLOCK + len(taps) - 1), np.float32)
    for row in range(_BLOCK):
        band[row, row : row + len(taps)] = taps
    return band, np.ascontiguousarray(band.T)


@lru_cache
def _outside(shape: tuple[int, int], degradation: Degradation) -> np.ndarray:
    """(H, W // 2 + 1) float32: how often each frequency of a real FFT lies outside the box.

    The half that a real FFT leaves out mirrors the other: F(-k) is the conjugate of F(k).
    """
    outside = np.ones(shape, np.float32)
    outside[kept_box(shape, degradation)] = 0
    outside = scipy.fft.ifftshift(outside)
    mirrored = outside[np.ix_(-np.arange(shape[0]), -np.arange(shape[1]))]
    half = outside[:, : shape[1] // 2 + 1].copy()
    inner = slice(1, (shape[1] + 1) // 2)
    half[:, inner] += mirrored[:, inner]
    return half
