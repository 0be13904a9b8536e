"""Find the box around the head, so that the background need not go through a network.

A third to a half of a brain slice is background. There the zero-filled values are kept, so a box
that is too large costs time and one that is too small loses nothing that the scan has.
"""

import numpy as np

Box = tuple[slice, slice]

BACKGROUND = 0.01
"""Below this part of the 99th percentile of a volume's positive voxels there is no tissue."""

_MARGIN = 4
"""Voxels of the scan around the head: truncated k-space rings loudest there."""

_STEP = 16
"""Boxes begin and end at multiples of it: few sizes, because oneDNN prepares for each anew."""


def background_level(voxels: np.ndarray) -> float:
    """The intensity up to which a voxel is background.

    Args:
        voxels: Any shape and scale, finite.

    Returns:
        In the same scale; 0 if no voxel is positive. In a scan whose noise is above the level,
        everything is taken for tissue.
    """
    positive = voxels[voxels > 0]
    return BACKGROUND * float(np.percentile(positive, 99)) if positive.size else 0.0


def head_mask(slices: np.ndarray, level: float) -> np.ndarray:
    """Which voxels are above the background, once each is averaged with its eight neighbours.

    Args:
        slices: ``(S, H, W)`` float32.
        level: From `background_level`, in the same scale.

    Returns:
        ``(S, H, W)`` bool.
    """
    from scipy.ndimage import uniform_filter

    return uniform_filter(slices, (1, 3, 3), mode="nearest") > level


def box_around(mask: np.ndarray, factor: int) -> Box | None:
    """The rows and columns that hold the head in any of a few slices, generously.

    Args:
        mask: ``(S, H, W)`` bool, of the scan.
        factor: How many times as fine the images are that the box is for.

    Returns:
        Rows and columns of the images; None if all is background.
    """
    found = []
    for axis in (1, 2):
        inside = np.flatnonzero(mask.any(axis=(0, 3 - axis)))
        if not inside.size:
            return None
        start = factor * (int(inside[0]) - _MARGIN) // _STEP * _STEP
        stop = -(-factor * (int(inside[-1]) + 1 + _MARGIN) // _STEP) * _STEP
        found.append(slice(max(0, start), min(stop, factor * mask.shape[axis])))
    return found[0], found[1]
