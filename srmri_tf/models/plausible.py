"""Find where a network's output is implausible, so that the zero-filled values are kept there.

What truncated k-space takes from a pixel it spreads over the pixels around it, so that the image
varies there, too. The truth differs from the image by less than twice the range of the image around
a pixel (docs/enhance.md, "Implausible outputs", has the figures). To what no training
image had, such as the ringing of a single bright pixel, a network may add thousands of
times that range.
"""

from collections.abc import Callable

import numpy as np

SIDE = 9
"""Rows and columns of the square around a pixel, which holds the main lobe of truncation's ringing
on a matrix that was doubled and the first lobes beside it."""

RANGES = 2.0
"""So many times the range of the image around it a pixel may change."""

SLACK = 0.01
"""Part of the volume's maximum by which an output may go beyond: where nothing varies, noise."""

_SHIFTS = (1, 2, 4, 1)  # each widens what was seen from 1 to 2, 4, 8 and SIDE pixels


def implausible(changes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Which pixels a network changed by far more than the image varies, and what surrounds those.

    Args:
        changes: ``(S, H, W)`` float32, the network's output without the image.
        images: ``(S, H, W)`` float32, what it got; the volume's maximum is 1.

    Returns:
        ``(S, H, W)`` bool.

    Examples:
        A point of 0.5 may vanish, but not become a hole of 1.

        >>> image = np.zeros((1, 1, 12), np.float32)
        >>> image[..., 2] = 0.5
        >>> implausible(-image, image).any()
        np.False_
        >>> implausible(-3 * image, image).astype(int).tolist()
        [[[1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]]]
    """
    found = excess(changes, images) > 1
    for beyond in found:
        if beyond.any():
            beyond[:] = _around(np.logical_or, beyond)
    return found


def excess(changes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """How much each pixel changed, as parts of what it may change.

    Takes what `implausible` takes.

    Returns:
        ``(S, H, W)`` float32; implausible is what is above 1.
    """
    parts = np.empty(images.shape, np.float32)
    for change, image, part in zip(changes, images, parts, strict=True):
        varies = _around(np.maximum, image) - _around(np.minimum, image)
        np.divide(np.abs(change), np.float32(RANGES) * varies + np.float32(SLACK), out=part)
    return parts


def _around(combine: Callable[..., np.ndarray], image: np.ndarray) -> np.ndarray:
    """All of ``(H, W)`` in the square around each pixel, combined.

    One image at a time stays in the processor's cache: ten times as fast as SciPy's filters.
    """
    combined = np.pad(image, SIDE // 2, mode="edge")
    for shift in _SHIFTS:
        combined = combine(combined[shift:], combined[:-shift])
    for shift in _SHIFTS:
        combined = combine(combined[:, shift:], combined[:, :-shift])
    return combined
