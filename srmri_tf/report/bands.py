"""How much of an image's k-space lies how far out, beside that of the scan."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import scipy.fft

from srmri_tf.report.pictures import Slice

EDGES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
_REFERENCE = (0.75, 1.0)

Row = tuple[str, str, str]


def table(slices: Sequence[Slice], scan: str, result: str) -> list[Row]:
    """Mean power of k-space by band, relative to the outermost band that was measured.

    Bands are squares around the centre of k-space, whose distance is the larger one along both
    axes. It is 1 at the edge of the measured box, half of each axis, and 2 at that of the matrix.

    Args:
        slices: All of one matrix.
        scan: The name of the zero-filled scan.
        result: The name of the result.

    Returns:
        A row for each band: its name, and the powers of scan and result in per cent of the scan's
        from 0.75 to 1.
    """
    before, after = (_powers([one.images[name] for one in slices]) for name in (scan, result))
    whole = before[_REFERENCE]
    return [
        (f"{low:g} to {high:g}", _share(before[low, high], whole), _share(after[low, high], whole))
        for low, high in before
    ]


def _powers(images: Sequence[np.ndarray]) -> dict[tuple[float, float], float]:
    """Mean power of the samples of each band."""
    axes = [np.abs(scipy.fft.fftfreq(n)) / 0.25 for n in images[0].shape]
    distance = np.maximum(axes[0][:, np.newaxis], axes[1])
    power = np.sum([np.abs(scipy.fft.fft2(image)) ** 2 for image in images], axis=0)
    return {
        (low, high): float(power[(low < distance) & (distance <= high)].mean(dtype=np.float64))
        for low, high in pairwise(EDGES)
    }


def _share(power: float, whole: float) -> str:
    return f"{100 * power / whole:.1f} %" if whole > 0 else "-"
