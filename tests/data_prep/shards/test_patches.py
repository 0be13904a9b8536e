import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import BadInputError
from data_prep.shards.patches import cut, origins, stitch


def test_a_256_slice_has_the_papers_16_patches():
    where = origins((256, 256), 64)
    assert len(where) == 16
    assert where.tolist() == [[r, c] for r in (0, 64, 128, 192) for c in (0, 64, 128, 192)]


def test_the_last_tiles_are_aligned_to_the_edge():
    assert origins((7, 10), 4).tolist() == [[0, 0], [0, 4], [0, 6], [3, 0], [3, 4], [3, 6]]


def test_tiles_are_the_pixels_at_their_origins():
    image = np.arange(5 * 6).reshape(5, 6)
    tiles, where = cut(image, 3)
    assert where.tolist() == [[0, 0], [0, 3], [2, 0], [2, 3]]
    np.testing.assert_array_equal(tiles[3], [[15, 16, 17], [21, 22, 23], [27, 28, 29]])


@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    size=st.integers(1, 12),
    n=st.integers(0, 3),
)
def test_stitching_undoes_tiling(height, width, size, n):
    images = np.random.default_rng(0).integers(0, 65536, (n, height, width), dtype=np.uint16)
    if size > min(height, width):
        with pytest.raises(BadInputError, match="smaller than one patch"):
            cut(images, size)
        return
    tiles, where = cut(images, size)
    assert [part.shape for part in tiles] == [(n, size, size)] * len(where)
    np.testing.assert_array_equal(stitch(np.stack(tiles, 1), where, (height, width)), images)


def test_stitching_leaves_zero_where_no_tile_lies():
    tiles, where = cut(np.ones((4, 4)), 2)
    assert stitch(np.stack(tiles[1:]), where[1:], (4, 4)).sum() == 12
