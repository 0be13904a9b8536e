"""Large slices through a network in tiles, without seams."""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from srmri_tf.models.head import Box

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from srmri_tf.models.model import Network

TILE = 1024
"""The largest side that goes through a network whole."""


def tiled(network: "Network", images: np.ndarray, side: int, box: Box | None = None) -> np.ndarray:
    """Send slices through a network, large ones in tiles that overlap by what it looks at.

    Args:
        network: Its ``halo`` and ``multiple`` decide how tiles are cut.
        images: ``(S, H, W)`` float32.
        side: The largest side of a tile, without its overlap.
        box: The rows and columns that go through the network; the others stay as they are. None:
            all.

    Returns:
        ``(S, H, W)`` float32; within the box as if there were neither tiles nor box.
    """
    parts = box or tuple(slice(0, n) for n in images.shape[1:])
    rows, columns = (
        list(_spans(part, n, side, network.halo, network.multiple))
        for part, n in zip(parts, images.shape[1:], strict=True)
    )
    whole = images.copy()
    for (row, seen_row), (column, seen_column) in product(rows, columns):
        tile = network.super_resolve(np.ascontiguousarray(images[:, seen_row, seen_column]))
        top, left = row.start - seen_row.start, column.start - seen_column.start
        height, width = row.stop - row.start, column.stop - column.start
        whole[:, row, column] = tile[:, top : top + height, left : left + width]
    return whole


def _spans(
    part: slice, length: int, side: int, halo: int, multiple: int
) -> Iterator[tuple[slice, slice]]:
    """Pieces of a part of an axis, each with the wider one that the network must see for it.

    A seen piece begins at a multiple, and ends at one or at the image's own end, so that a network
    that halves the image halves it at the same pixels.
    """
    size = part.stop - part.start
    count = -(-size // side)
    step = -(-size // (count * multiple)) * multiple
    for start in range(part.start, part.stop, step):
        stop = min(start + step, part.stop)
        before = max(0, (start - halo) // multiple * multiple)
        after = min(length, -(-(stop + halo) // multiple) * multiple)
        yield slice(start, stop), slice(before, after)
