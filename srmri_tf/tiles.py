"""Large slices through a network in tiles, without seams."""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from srmri_tf.models import Network

TILE = 1024
"""The largest side that goes through a network whole."""


def tiled(network: "Network", images: np.ndarray, side: int) -> np.ndarray:
    """Send slices through a network, large ones in tiles that overlap by what it looks at.

    Args:
        network: Its ``halo`` and ``multiple`` decide how tiles are cut.
        images: ``(S, H, W)`` float32.
        side: The largest side of a tile, without its overlap.

    Returns:
        ``(S, H, W)`` float32, as if there were no tiles.
    """
    rows, columns = (
        list(_spans(n, side, network.halo, network.multiple)) for n in images.shape[1:]
    )
    if len(rows) == len(columns) == 1:
        return network.sharpen(images)
    whole = np.empty(images.shape, np.float32)
    for (row, seen_row), (column, seen_column) in product(rows, columns):
        tile = network.sharpen(np.ascontiguousarray(images[:, seen_row, seen_column]))
        top, left = row.start - seen_row.start, column.start - seen_column.start
        height, width = row.stop - row.start, column.stop - column.start
        whole[:, row, column] = tile[:, top : top + height, left : left + width]
    return whole


def _spans(length: int, side: int, halo: int, multiple: int) -> Iterator[tuple[slice, slice]]:
    """Parts of an axis, each with the wider part that the network must see for it.

    A seen part begins at a multiple, and ends at one or at the image's own end, so that a network
    that halves the image halves it at the same pixels.
    """
    parts = -(-length // side)
    step = -(-length // (parts * multiple)) * multiple
    for start in range(0, length, step):
        stop = min(start + step, length)
        before = max(0, (start - halo) // multiple * multiple)
        after = min(length, -(-(stop + halo) // multiple) * multiple)
        yield slice(start, stop), slice(before, after)
