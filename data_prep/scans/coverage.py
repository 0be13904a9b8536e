"""How much of k-space a scan fills: scanners measure a part of it and interpolate the rest.

Within what was measured the spectrum of an image falls slowly, and ends in the noise. Where the
measurement ends it drops at once, by 10 dB and more, to what rounding and the magnitude leave
there. That edge is looked for along either axis of the slices, among the low frequencies of the
other axis, which elliptical coverage cuts last. Where there is none, all of the axis was measured.
"""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from data_prep.kspace import cropped, reconstruct
from data_prep.scans.fastmri import crop
from data_prep.scans.orientation import Volume

SLICES = 6  # so many of the middle of a volume are transformed
WHOLE = 0.98  # filled so far, an axis counts as measured
LEAST = 64  # of voxels along an axis: a shorter one has too few lines to find an edge among
_BAND = 0.02, 0.3  # of Nyquist along the other axis: beside DC's streaks, before corners are cut
_INNERMOST = 0.35  # of Nyquist: a spectrum is steep further inside
_WIDTH = 0.1  # of Nyquist: an edge is no softer
_DROP = 6.0  # dB more than the spectrum falls further inside
_DROP_AT_NYQUIST = 6.5  # where a filter may end instead of the measurement
_BLUR = 11  # voxels a side, twice: the head without its details
_HEAD = 0.25  # of the blurred maximum: what is brighter is head rather than background


class Coverage(NamedTuple):
    """How far k-space is filled along rows and columns, as fractions of Nyquist.

    Args:
        rows: Along the axis that counts rows: 1 where all of it was measured.
        columns: Along the axis that counts columns.
    """

    rows: float
    columns: float

    def matrix(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The matrix that was measured, of the one that is stored: even where it is smaller."""
        rows, columns = (
            size if filled >= WHOLE else min(size, 2 * math.ceil(filled * size / 2 - 1e-6))
            for size, filled in zip(shape, self, strict=True)
        )
        return rows, columns


def measure(volume: Volume) -> Coverage:
    """Find out how far k-space is filled: from an image, or from the measurement itself."""
    if volume.kspace is not None:
        return Coverage(*(_extent(volume.kspace, axis) for axis in (-2, -1)))
    return of_images(volume.images)


def of_images(images: np.ndarray) -> Coverage:
    """Find out how far the k-space of images ``(S, H, W)`` is filled."""
    power = power_spectrum(images)
    return Coverage(*(filled(profile) for profile in _profiles(power, images.shape[-1])))


def acquired(volume: Volume, coverage: Coverage) -> Volume:
    """A volume on the matrix that was measured: k-space is cropped, the field of view stays.

    Args:
        volume: As it was stored.
        coverage: What of it was measured.

    Returns:
        Slices of fewer and larger pixels; the first pixel's centre stays where it was.
    """
    before = (volume.images.shape[1], volume.images.shape[2])
    matrix = coverage.matrix(before)
    if matrix == before:
        return volume
    measured = volume.images if volume.kspace is None else volume.kspace
    sides = (measured.shape[1], measured.shape[2])
    row, column = (
        round(size * old / new, 5)
        for size, old, new in zip(volume.spacing[:2], sides, coverage.matrix(sides), strict=True)
    )
    spacing = (row, column, volume.spacing[2])
    if volume.kspace is not None:
        kspace = _middle(volume.kspace, coverage.matrix(sides))
        kspace = kspace * np.float32(math.sqrt(kspace[0].size / volume.kspace[0].size))
        images = crop(reconstruct(kspace), matrix)
        return replace(volume, images=images, spacing=spacing, kspace=kspace)
    images = np.empty((len(volume.images), *matrix), np.float32)
    for index, image in enumerate(volume.images):
        images[index] = cropped(image, matrix)
    return replace(volume, images=images, spacing=spacing)


def power_spectrum(images: np.ndarray) -> np.ndarray:
    """Power of some of the middle slices' spectra, DC at (0, 0), background faded out.

    In the background a magnitude is nothing but the absolute value of noise, whose spectrum has no
    edge. Weights that vary as slowly as these blur a spectrum by a few lines.

    Args:
        images: ``(S, H, W)`` real, in any scale.

    Returns:
        ``(H, W // 2 + 1)`` float32: the spectrum of a real image is symmetric.
    """
    import scipy.fft
    from scipy.ndimage import uniform_filter

    count = len(images)
    chosen = np.linspace(0.3 * (count - 1), 0.7 * (count - 1), SLICES).round().astype(int)
    power = np.zeros((images.shape[1], images.shape[2] // 2 + 1), np.float32)
    for index in np.unique(chosen):  # one pass over a strided view, no copy of it
        image = np.ascontiguousarray(images[index], np.float32)
        head = np.square(uniform_filter(uniform_filter(image, _BLUR), _BLUR))
        weights = head / np.maximum(head + _HEAD**2 * head.max(), np.finfo(np.float32).tiny)
        spectrum = scipy.fft.rfft2(image * weights)
        power += np.square(spectrum.real) + np.square(spectrum.imag)
    return power


def filled(profile: np.ndarray) -> float:
    """The fraction of an axis that is filled: to the edge of its profile, 1 if there is none.

    Scanners often filter k-space first, which makes the edge soft: it is where the profile has
    fallen half way.

    Args:
        profile: ``(K,)`` dB at the frequencies 1, 2, ..., K, the last of them Nyquist.
    """
    lines = len(profile)
    if 2 * lines < LEAST:
        return 1.0
    width = round(_WIDTH * lines)
    drops = _drops(profile, width)
    edges = np.arange(round(_INNERMOST * lines), lines - width // 2)
    further_in = np.where(edges < 4 * width, np.inf, drops[edges - 3 * width])
    usual = np.maximum(np.minimum(drops[edges - 2 * width], further_in), 0)
    beyond_usual = (
        drops[edges] - usual - np.where(edges > lines - 3 * width // 2, _DROP_AT_NYQUIST, _DROP)
    )
    best = int(np.argmax(beyond_usual))
    if beyond_usual[best] < 0:
        return 1.0
    edge = int(edges[best])
    inside = profile[edge - 2 * width : edge - width].mean()
    outside = profile[min(edge + width, lines - width // 2) :][:width].mean()
    fallen = profile[edge - width : edge + width] < (inside + outside) / 2
    last = edge - width + int(np.argmax(fallen))  # this many lines lie within
    return min(1.0, (2 * last + 1) / (2 * lines))


def _drops(profile: np.ndarray, width: int) -> np.ndarray:
    """By how many dB the mean of ``width`` lines from each on is below that of those before."""
    lines = len(profile)
    sums = np.concatenate([[0.0], np.cumsum(profile, dtype=np.float64)])
    at = np.arange(lines)
    first, last = np.maximum(at - width, 0), np.minimum(at + width, lines)
    before = (sums[at] - sums[first]) / np.maximum(at - first, 1)
    return before - (sums[last] - sums[at]) / (last - at)


def _profiles(power: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Decibels at the frequencies 1 to Nyquist along rows and columns, among low ones of the other.

    Args:
        power: ``(H, W // 2 + 1)``, DC at (0, 0).
        width: W.
    """
    decibels = 10 * np.log10(np.maximum(power, np.finfo(np.float32).tiny))
    height = len(power)
    low, high = _band(width)
    half = height // 2
    rows = decibels[:, low:high].mean(axis=1)
    rows = (rows[1 : half + 1] + rows[: -half - 1 : -1]) / 2
    low, high = _band(height)
    columns = decibels[low:high] + decibels[height - high + 1 : height - low + 1][::-1]
    return rows, columns.mean(axis=0)[1:] / 2


def _band(size: int) -> tuple[int, int]:
    """First and last of the low frequencies of an axis of so many voxels."""
    low = max(1, round(_BAND[0] * size / 2))
    return low, max(low + 1, round(_BAND[1] * size / 2))


def _extent(kspace: np.ndarray, axis: int) -> float:
    """The fraction of an axis of centred k-space that holds more than zeros."""
    size = kspace.shape[axis]
    others = tuple(other for other in range(kspace.ndim) if other != axis % kspace.ndim)
    lines = np.flatnonzero(kspace.any(axis=others))
    furthest = int(np.abs(lines - size // 2).max(initial=0))
    return min(1.0, (2 * furthest + 1) / size)


def _middle(kspace: np.ndarray, matrix: tuple[int, int]) -> np.ndarray:
    """The middle of k-space ``(..., H, W)``: DC, at (H // 2, W // 2), stays the centre."""
    row, column = (old // 2 - new // 2 for old, new in zip(kspace.shape[-2:], matrix, strict=True))
    return kspace[..., row : row + matrix[0], column : column + matrix[1]]
