"""The box around the head, against boxes drawn by hand."""

import numpy as np
import pytest

from srmri_tf.enhance.head import background_level, box_around, head_mask


def slices(*bright, shape=(1, 60, 50), value=1.0):
    """Background with bright rows and columns, each (rows, columns)."""
    images = np.zeros(shape, np.float32)
    for where in bright:
        images[:, *where] = value
    return images


def test_the_level_is_a_hundredth_of_the_99th_percentile_of_positive_voxels():
    voxels = np.concatenate([np.zeros(500), np.arange(1, 102)])  # the percentile is 100
    assert background_level(voxels) == pytest.approx(1.0)
    assert background_level(1e3 * voxels) == pytest.approx(1e3)


def test_a_few_very_bright_voxels_do_not_raise_the_level():
    voxels = np.ones((30, 30, 30))
    voxels[3, 3, :5] = 1e6
    assert background_level(voxels) == pytest.approx(0.01)


def test_a_volume_without_signal_has_no_head():
    empty = np.zeros((2, 20, 20), np.float32)
    assert background_level(empty) == 0
    assert box_around(head_mask(empty, 0.0), 2) is None


def test_noise_above_the_level_is_taken_for_tissue():
    noise = np.random.default_rng(0).rayleigh(1, (2, 40, 40)).astype(np.float32)
    assert head_mask(noise, background_level(noise)).mean() > 0.99


def test_a_thin_dark_rim_belongs_to_the_head():
    # One voxel wide and a tenth as bright as the head: skin beside a bone that gives no signal.
    images = slices((slice(20, 40), slice(20, 30)), (slice(10, 50), 12), (slice(10, 50), 40))
    images[:, :, [12, 40]] *= 0.1
    rows, columns = box_around(head_mask(images, background_level(images)), 1)
    assert rows.start <= 10
    assert rows.stop >= 50
    assert columns.start <= 12
    assert columns.stop > 40


def test_a_box_has_a_margin_and_ends_at_multiples_of_sixteen():
    # Voxels 25-29 and, for their neighbours, 24-30; four more: 20-34, on the finer grid 40-69.
    mask = head_mask(slices((slice(25, 30), slice(25, 30))), 0.01)
    assert box_around(mask, 2) == (slice(32, 80), slice(32, 80))
    assert box_around(mask, 1) == (slice(16, 48), slice(16, 48))


def test_a_box_ends_with_the_image():
    mask = head_mask(slices((slice(0, 60), slice(45, 50))), 0.01)
    assert box_around(mask, 2) == (slice(0, 120), slice(80, 100))


def test_one_box_holds_the_heads_of_all_its_slices():
    upper, lower = slices((slice(5, 10), slice(5, 10))), slices((slice(45, 50), slice(5, 10)))
    mask = head_mask(np.concatenate([upper, lower]), 0.01)
    assert box_around(mask, 1) == (slice(0, 60), slice(0, 16))
