"""Find the box around the head, so that the background need not go through a network.

A third to a half of a brain slice is background. There the zero-filled values are kept, so a box
that is too large costs time and one that is too small loses nothing that the scan has.
"""

import numpy as np

Box = tuple[slice, slice]

BACKGROUND = 0.004 - 1e-8
"""Up to this part of a volume's maximum there is no tissue.

In a scan whose noise is louder, everything is taken for tissue. The mean of nine whole numbers can
be exactly 0.004 of the maximum; the small difference keeps rounding from deciding its side.
"""

MARGIN = 4
"""Voxels of the scan around the head: truncated k-space rings loudest there."""

STEP = 16
"""Boxes begin and end at multiples of it: few sizes, because oneDNN prepares for each anew."""


def head_mask(slices: np.ndarray) -> np.ndarray:
    """Which voxels are above the background, once each is averaged with its eight neighbours.

    Args:
        slices: ``(S, H, W)`` float32; the volume's maximum is 1.

    Returns:
        ``(S, H, W)`` bool.
    """
    from scipy.ndimage import uniform_filter

    return uniform_filter(slices, (1, 3, 3), mode="nearest") > BACKGROUND


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
        start = factor * (int(inside[0]) - MARGIN) // STEP * STEP
        stop = -(-factor * (int(inside[-1]) + 1 + MARGIN) // STEP) * STEP
        found.append(slice(max(0, start), min(stop, factor * mask.shape[axis])))
    return found[0], found[1]


def in_boxes(mask: np.ndarray, factor: int) -> np.ndarray:
    """Which pixels lie in the box of their own slice.

    Args:
        mask: ``(S, H, W)`` bool, of the scan.
        factor: As for `box_around`.

    Returns:
        ``(S, factor * H, factor * W)`` bool.
    """
    inside = np.zeros((len(mask), factor * mask.shape[1], factor * mask.shape[2]), bool)
    for number in range(len(mask)):
        if box := box_around(mask[number : number + 1], factor):
            inside[number, *box] = True
    return inside
