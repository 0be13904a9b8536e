"""The one intensity that scales a volume to [0, 1]."""

from pathlib import Path

import numpy as np

from data_prep.errors import BadInputError

UNDERSHOOT = 0.25  # of the maximum; resampling and ringing stay well below


def intensity_scale(voxels: np.ndarray, path: Path | None) -> float:
    """The maximum of a volume, after checking that dividing by it gives an image in [0, 1].

    Magnitudes are never negative, but resampled ones dip a little below zero beside bright
    edges. Such undershoot is cut off later; a volume that goes further down is something else.

    Args:
        voxels: Any shape, finite.
        path: Named in errors.

    Raises:
        BadInputError: The volume is constant, has no positive voxel, or goes below minus a
            quarter of its maximum.
    """
    stored = _in_memory_order(voxels)
    low, high = float(stored.min()), float(stored.max())
    if low == high:
        raise BadInputError(
            f"is constant: every voxel is {low:g}", path=path, remedy="Leave this scan out"
        )
    if high <= 0:
        raise BadInputError(
            f"has no positive voxel, its maximum is {high:g}",
            path=path,
            remedy="Give the magnitude image",
        )
    if low < -UNDERSHOOT * high:
        raise BadInputError(
            f"is not a magnitude image: it goes from {low:g} to {high:g}",
            path=path,
            remedy="Give the magnitude image, without z-scores or subtracted means",
        )
    return high


def _in_memory_order(voxels: np.ndarray) -> np.ndarray:
    """The same voxels as they lie in memory: a view that is walked through three times faster."""
    forwards = voxels[tuple(slice(None, None, -1 if step < 0 else 1) for step in voxels.strides)]
    return forwards.transpose(np.argsort([-step for step in forwards.strides]))
