from pathlib import Path

import numpy as np

from data_prep.kspace import Degradation, zero_filled
from data_prep.prepare.pairs import SlicePairs, slice_pairs
from data_prep.scans.orientation import Volume
from tests.data_prep.phantoms import phantom

HERE = Path("scan.nii")


def pairs_of(images, lr="magnitude") -> SlicePairs:
    return slice_pairs(Volume(images, (1.0, 1.0, 3.0), ""), Degradation(lr=lr), HERE)


def test_low_and_high_resolution_share_the_scale_of_the_volume():
    images = phantom((12, 20, 24))  # maximum 1000
    pairs = pairs_of(images)
    assert pairs.scale == 1000
    low, high = pairs.at(np.arange(12))
    assert high.max() == 1
    np.testing.assert_allclose(high, images / 1000, rtol=1e-6)
    np.testing.assert_allclose(low * 1000, zero_filled(images, Degradation()), atol=1e-2)


def test_any_slices_in_any_order():
    pairs = pairs_of(phantom((12, 20, 24)))
    low, high = pairs.at(np.arange(12))
    some_low, some_high = pairs.at(np.array([7, 2]))
    np.testing.assert_array_equal(some_low, low[[7, 2]])
    np.testing.assert_array_equal(some_high, high[[7, 2]])


def test_undershoot_is_cut_off_before_degrading():
    images = phantom((12, 20, 24))
    images[0, 0, 0] = -100
    low, high = pairs_of(images).at(np.arange(12))
    assert high.min() == 0
    np.testing.assert_array_equal(low, zero_filled(high, Degradation()))


def test_slices_that_will_be_coarse_get_even_sides():
    images = phantom((12, 19, 24))
    low, high = pairs_of(images, "coarse").at(np.arange(12))
    np.testing.assert_array_equal(high, pairs_of(images).at(np.arange(12))[1][:, :18])
    np.testing.assert_array_equal(low, zero_filled(high, Degradation(lr="coarse")))
