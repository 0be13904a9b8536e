from pathlib import Path

import numpy as np
import pytest

from data_prep.errors import BadInputError
from data_prep.kspace import zero_filled
from data_prep.pairs import intensity_scale, slice_pairs
from data_prep.schema import Degradation, Parameters
from data_prep.sources import Volume
from tests.data_prep.scans import affine, phantom

HERE = Path("scan.nii")


def volume(voxels, spacing=(1.0, 1.0, 3.0), **fields) -> Volume:
    return Volume(voxels, affine(spacing), "s", "", HERE, "", **fields)


def test_low_and_high_resolution_share_the_scale_of_the_volume():
    voxels = phantom()  # maximum 1000
    pairs = slice_pairs(volume(voxels), Parameters())
    assert pairs.scale == 1000
    assert pairs.images.shape == (12, 20, 24)
    low, high = pairs.at(np.arange(12))
    assert high.max() == 1
    np.testing.assert_allclose(high, pairs.images / 1000, rtol=1e-6)
    np.testing.assert_allclose(low * 1000, zero_filled(pairs.images, Degradation()), atol=1e-2)


def test_any_slices_in_any_order():
    pairs = slice_pairs(volume(phantom()), Parameters())
    low, high = pairs.at(np.arange(12))
    some_low, some_high = pairs.at(np.array([7, 2]))
    np.testing.assert_array_equal(some_low, low[[7, 2]])
    np.testing.assert_array_equal(some_high, high[[7, 2]])


def test_undershoot_is_cut_off_before_degrading():
    voxels = phantom()
    voxels[0, 0, 0] = -100
    low, high = slice_pairs(volume(voxels), Parameters()).at(np.arange(12))
    assert high.min() == 0
    np.testing.assert_array_equal(low, zero_filled(high, Degradation()))


def test_slices_that_will_be_coarse_get_even_sides():
    voxels = phantom()[:, :-1, :]  # slices of 19 x 24
    coarse = Degradation(lr="coarse")
    pairs = slice_pairs(volume(voxels), Parameters(degradation=coarse))
    whole = slice_pairs(volume(voxels), Parameters())
    low, high = pairs.at(np.arange(12))
    np.testing.assert_array_equal(high, whole.at(np.arange(12))[1][:, :18])
    np.testing.assert_array_equal(low, zero_filled(high, coarse))


@pytest.mark.parametrize(
    ("values", "scale"), [([0, 5], 5), ([-1, 4], 4), ([3, 9], 9), ([-0.1, 1e-30, 1], 1)]
)
def test_the_scale_is_the_maximum(values, scale):
    assert intensity_scale(np.array(values, np.float32), HERE) == scale


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([5, 5], "every voxel is 5"),
        ([0, 0], "every voxel is 0"),
        ([-3, 0], "no positive voxel, its maximum is 0"),
        ([-3, -1], "no positive voxel"),
        ([-2, 4], "it goes from -2 to 4"),
    ],
)
def test_what_is_no_magnitude_image_is_refused(values, fault):
    with pytest.raises(BadInputError, match=fault):
        intensity_scale(np.array(values, np.float32), HERE)


def test_the_plane_can_be_chosen():
    pairs = slice_pairs(volume(phantom()), Parameters(plane="sagittal"))
    assert pairs.images.shape == (24, 12, 20)
    assert (pairs.plane, pairs.spacing) == ("sagittal", (3.0, 1.0, 1.0))


def test_slices_without_anatomy_cannot_be_cut_otherwise():
    pairs = slice_pairs(volume(phantom(), anatomical=False), Parameters())
    assert (pairs.plane, pairs.images.shape) == ("acquired", (12, 20, 24))
    with pytest.raises(BadInputError, match="cannot be cut into coronal slices"):
        slice_pairs(volume(phantom(), anatomical=False), Parameters(plane="coronal"))
