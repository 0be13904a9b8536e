"""SSIM's windows, and weighted sums under them."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

_BAND_ROWS, _BAND_COLUMNS = 4, 16  # outputs of one small product, down and across: the fastest


@dataclass(frozen=True)
class Window:
    """A separable window of SSIM.

    Args:
        taps: Weights along one axis. They, their sum and the square of it are exact in float32: a
            variance is a difference of two sums, and a bias of either would not cancel.
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


def whole_blocks(rows: int, columns: int) -> tuple[int, int]:
    """Rows and columns of outputs, rounded up to what `WindowedSums` computes at once."""
    return -(-rows // _BAND_ROWS) * _BAND_ROWS, -(-columns // _BAND_COLUMNS) * _BAND_COLUMNS


class WindowedSums:
    """Weighted sums of several images under a window, wherever it fits inside.

    As products with a small banded matrix: matrix products are what processors do best, and small
    ones waste little on the zeros outside the band. All blocks of all images go in one call, in
    memory that is taken once and reused: for strips of a slice it stays in the cache.

    Args:
        window: Its taps weight both axes.
        inputs: (n, H, W) float32, contiguous; read at every call. H and W are at least those of
            the outputs and what the window reaches beyond them.
        shape: Rows and columns of the outputs, in whole blocks.
        scales: Of each image's sums; exact in float32, as the taps are.

    Attributes:
        outputs: (n, rows, columns) float32, contiguous.
    """

    def __init__(
        self,
        window: Window,
        inputs: np.ndarray,
        shape: tuple[int, int],
        scales: tuple[float, ...],
    ) -> None:
        (rows, columns), spare = shape, len(window.taps) - 1
        self.outputs = np.empty((len(inputs), rows, columns), np.float32)
        between = np.empty((len(inputs), rows, columns + spare), np.float32)
        self._down = _band(window.taps, _BAND_ROWS)
        # Contiguous, for a product with a transposed matrix takes 1.6 times as long.
        band = np.ascontiguousarray(_band(window.taps, _BAND_COLUMNS).T)
        self._across = band * np.array(scales, np.float32)[:, None, None, None]
        # Overlapping views: block k of the inputs begins where block k of the outputs does.
        down, across = rows // _BAND_ROWS, columns // _BAND_COLUMNS
        reached = inputs[:, : rows + spare, : columns + spare]
        self._from = _row_blocks(reached, down, _BAND_ROWS + spare)
        self._rows_to = _row_blocks(between, down, _BAND_ROWS)
        self._rows_from = _column_blocks(between, across, _BAND_COLUMNS + spare)
        self._to = _column_blocks(self.outputs, across, _BAND_COLUMNS)

    def __call__(self) -> np.ndarray:
        """Compute ``outputs`` from the inputs as they are now, and return them."""
        np.matmul(self._down, self._from, out=self._rows_to)
        np.matmul(self._rows_from, self._across, out=self._to)
        return self.outputs


def _band(taps: tuple[float, ...], size: int) -> np.ndarray:
    """(size, size + taps - 1) float32: row i holds the taps from column i on."""
    band = np.zeros((size, size + len(taps) - 1), np.float32)
    for row in range(size):
        band[row, row : row + len(taps)] = taps
    return band


def _row_blocks(images: np.ndarray, blocks: int, rows: int) -> np.ndarray:
    """(n, blocks, rows, W) view of (n, H, W), a block every `_BAND_ROWS`."""
    count, _, width = images.shape
    image, row, column = images.strides
    strides = (image, _BAND_ROWS * row, row, column)
    return as_strided(images, (count, blocks, rows, width), strides)


def _column_blocks(images: np.ndarray, blocks: int, columns: int) -> np.ndarray:
    """(n, blocks, H, columns) view of (n, H, W), a block every `_BAND_COLUMNS`."""
    count, height, _ = images.shape
    image, row, column = images.strides
    strides = (image, _BAND_COLUMNS * column, row, column)
    return as_strided(images, (count, blocks, height, columns), strides)
