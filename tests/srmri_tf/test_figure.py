"""Which slice and which box a figure shows."""

import numpy as np
import pytest

from srmri_tf.dataset import SlicePair
from srmri_tf.figure import Example, busiest_box, comparison


def pair(index, brightness, shape=(40, 50)):
    hr = np.zeros(shape, np.float32)
    hr[4:-4, 5:-5] = brightness
    return SlicePair("s", "", index, hr * 0.9, hr)


def test_the_brightest_slice_is_kept():
    example = Example()
    for index, brightness in enumerate((0.2, 0.9, 0.5)):
        example.consider(pair(index, brightness), {"lr": np.zeros(1)})
    assert example.pair.index == 1


def test_the_box_is_where_the_middle_lost_the_most():
    hr = np.ones((64, 64), np.float32)
    lr = hr.copy()
    lr[30:38, 20:28] = 0.5  # in the middle half
    lr[0:8, 0:8] = 0.0  # worse, but at the rim
    assert busiest_box(lr, hr, 8) == (30, 20)


def test_a_black_slice_has_a_box_all_the_same():
    row, col = busiest_box(np.zeros((40, 50)), np.zeros((40, 50)), 16)
    assert 0 <= row <= 24
    assert 0 <= col <= 34


def test_the_picture_is_written(tmp_path):
    example = Example()
    example.consider(pair(0, 0.5), {"lr": pair(0, 0.4).hr, "net": pair(0, 0.5).hr})
    comparison(example, tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="none"):
        comparison(Example(), tmp_path / "g.png")
