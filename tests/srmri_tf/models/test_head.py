"""The box around the head, against boxes drawn by hand."""

import numpy as np

from srmri_tf.models.head import box_around, head_mask, in_boxes


def slices(*bright, shape=(1, 60, 50), value=1.0):
    """Background with bright rows and columns, each (rows, columns)."""
    images = np.zeros(shape, np.float32)
    for where in bright:
        images[:, *where] = value
    return images


def test_a_head_is_brighter_than_four_thousandths_of_the_maximum():
    # Means of nine voxels: 35 / 9000 is background, 36 / 9000 and more is not.
    for total, expected in ((35, False), (36, True), (37, True)):
        image = np.zeros((1, 9, 9), np.float32)
        image[0, 4, 4] = np.float32(total) / np.float32(1000)
        assert head_mask(image).any() == expected


def test_a_volume_without_signal_has_no_head():
    mask = head_mask(np.zeros((2, 20, 20), np.float32))
    assert box_around(mask, 2) is None
    assert not in_boxes(mask, 2).any()


def test_noise_above_the_level_is_taken_for_tissue():
    noise = np.random.default_rng(0).rayleigh(0.01, (2, 40, 40)).astype(np.float32)
    assert head_mask(noise).mean() > 0.99


def test_a_thin_dark_rim_belongs_to_the_head():
    # One voxel wide and a tenth as bright as the head: skin beside a bone that gives no signal.
    images = slices((slice(20, 40), slice(20, 30)), (slice(10, 50), 12), (slice(10, 50), 40))
    images[:, :, [12, 40]] *= 0.1
    rows, columns = box_around(head_mask(images), 1)
    assert rows.start <= 10
    assert rows.stop >= 50
    assert columns.start <= 12
    assert columns.stop > 40


def test_a_box_has_a_margin_and_ends_at_multiples_of_sixteen():
    # Voxels 25-29 and, for their neighbours, 24-30; four more: 20-34, on the finer grid 40-69.
    mask = head_mask(slices((slice(25, 30), slice(25, 30))))
    assert box_around(mask, 2) == (slice(32, 80), slice(32, 80))
    assert box_around(mask, 1) == (slice(16, 48), slice(16, 48))


def test_a_box_ends_with_the_image():
    mask = head_mask(slices((slice(0, 60), slice(45, 50))))
    assert box_around(mask, 2) == (slice(0, 120), slice(80, 100))


def test_one_box_holds_the_heads_of_all_its_slices():
    upper, lower = slices((slice(5, 10), slice(5, 10))), slices((slice(45, 50), slice(5, 10)))
    mask = head_mask(np.concatenate([upper, lower, np.zeros_like(upper)]))
    assert box_around(mask, 1) == (slice(0, 60), slice(0, 16))
    # Rows 5-9 become 4-10, with the margin 0-14; rows 45-49 become 44-50 and 40-54.
    expected = np.zeros((3, 60, 50), bool)
    expected[0, :16, :16] = expected[1, 32:60, :16] = True
    np.testing.assert_array_equal(in_boxes(mask, 1), expected)
