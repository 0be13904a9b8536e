"""Choose slices, cut them into square patches and put them together again."""

from itertools import product

import numpy as np

from data_prep.errors import BadInputError


def evenly_spaced(total: int, count: int) -> tuple[int, ...]:
    """Indices of at most ``count`` of ``total`` slices, the middle ones of equal stretches.

    So the outermost slices, which are often empty, are not among them.

    Examples:
        >>> evenly_spaced(10, 2)
        (2, 7)
        >>> evenly_spaced(2, 3)
        (0, 1)
    """
    count = min(total, count)
    return tuple(int((i + 0.5) * total / count) for i in range(count))


def origins(shape: tuple[int, int], size: int) -> np.ndarray:
    """First row and column of every patch, in reading order.

    Patches lie side by side; where they do not fill the matrix, the last row and column of patches
    is aligned to the edge and overlaps its neighbour, so nothing is lost.

    Args:
        shape: Rows and columns of the slice.
        size: Side of a patch in pixels.

    Returns:
        ``(N, 2)`` int64.

    Raises:
        BadInputError: The slice is smaller than one patch.

    Examples:
        >>> origins((64, 100), 64).tolist()
        [[0, 0], [0, 36]]
    """
    if min(shape) < size:
        raise BadInputError(
            f"a slice of {shape[0]} x {shape[1]} pixels is smaller than one patch of "
            f"{size} x {size}",
            remedy="Give a smaller --patch-size",
        )
    starts = [_starts(length, size) for length in shape]
    return np.array(list(product(*starts)), np.int64)


def cut(images: np.ndarray, size: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Cut images into patches, which are views: nothing is copied.

    Args:
        images: ``(..., H, W)`` of any dtype.
        size: Side of a patch in pixels.

    Returns:
        N patches ``(..., size, size)``, and their origins ``(N, 2)`` as (row, column).

    Raises:
        BadInputError: The images are smaller than one patch.
    """
    where = origins((images.shape[-2], images.shape[-1]), size)
    patches = [images[..., row : row + size, col : col + size] for row, col in where]
    return patches, where


def stitch(patches: np.ndarray, where: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Put patches together again: the inverse of `cut`, whose patches are stacked here.

    Args:
        patches: ``(..., N, size, size)``.
        where: ``(N, 2)`` origins as (row, column).
        shape: Rows and columns of the whole.

    Returns:
        ``(..., H, W)`` of the patches' dtype; zero where no patch lies.
    """
    size = patches.shape[-1]
    whole = np.zeros((*patches.shape[:-3], *shape), patches.dtype)
    for index, (row, col) in enumerate(where):
        whole[..., row : row + size, col : col + size] = patches[..., index, :, :]
    return whole


def _starts(length: int, size: int) -> list[int]:
    starts = list(range(0, length - size + 1, size))
    if starts[-1] + size < length:
        starts.append(length - size)
    return starts
