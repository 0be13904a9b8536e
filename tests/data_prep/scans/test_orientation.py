"""Slicing against nibabel's reorientation, and the choice of a plane against its documentation."""

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.errors import BadInputError
from data_prep.scans.orientation import PLANES, find_slicing
from tests.data_prep.phantoms import affine, phantom

HERE = Path("scan.nii")
SHAPE = (7, 6, 5)
# All 48 axis orders and flips, the 24 rotations among them.
ORIENTATIONS = [
    np.array(list(zip(axes, flips, strict=True)), float)
    for axes in permutations(range(3))
    for flips in product((1, -1), repeat=3)
]
# Of RAS+ axes: which become slices, rows and columns; rows and columns are then reversed.
LAYOUT = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}


def stored_matrix(turn, spacing=(1, 1.5, 2)) -> np.ndarray:
    """The affine of a RAS+ volume that is stored turned."""
    return affine(spacing) @ nib.orientations.inv_ornt_aff(turn, SHAPE)


@pytest.mark.parametrize("turn", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
def test_how_a_file_was_stored_never_shows(turn, plane):
    voxels = phantom(SHAPE)
    stored = nib.apply_orientation(voxels, turn)
    matrix = stored_matrix(turn)
    slicing = find_slicing(matrix, plane, path=HERE)
    images = slicing.slices(stored)
    np.testing.assert_array_equal(images, voxels.transpose(LAYOUT[plane])[:, ::-1, ::-1])
    assert np.shares_memory(images, stored)
    assert slicing.spacing(matrix) == tuple(
        (1, 1.5, 2)[axis] for axis in (*LAYOUT[plane][1:], LAYOUT[plane][0])
    )


@pytest.mark.parametrize("turn", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
def test_a_stack_is_shown_as_the_slices_are(turn, plane):
    stored = nib.apply_orientation(phantom(SHAPE), turn)
    slicing = find_slicing(stored_matrix(turn), plane, path=HERE)
    stack = slicing.stack(stored)
    shown = slicing.shown(stack)
    # The order of the slices is the file's; what each shows is not.
    np.testing.assert_array_equal(
        shown[:: int(turn[PLANES.index(plane), 1])], slicing.slices(stored)
    )
    np.testing.assert_array_equal(slicing.stored(shown), stack)
    assert np.shares_memory(shown, stored)
    assert stack.shape[1:] == tuple(stored.shape[axis] for axis in slicing.in_plane)


def test_rows_and_columns_as_a_radiologist_sees_them():
    # One bright voxel: rightmost, most anterior and most superior of a 2 x 3 x 4 volume.
    voxels = np.zeros((2, 3, 4), np.float32)
    voxels[1, 2, 3] = 1
    expected = {"axial": (3, 0, 0), "coronal": (2, 0, 0), "sagittal": (1, 0, 0)}
    shapes = {"axial": (4, 3, 2), "coronal": (3, 4, 2), "sagittal": (2, 4, 3)}
    for plane in PLANES:
        images = find_slicing(affine(), plane).slices(voxels)
        assert images.shape == shapes[plane]
        assert tuple(np.argwhere(images)[0]) == expected[plane]


@pytest.mark.parametrize(
    ("sizes", "plane"),
    [
        ((0.6, 0.6, 3.3), "axial"),
        ((1.2, 0.9375, 0.9375), "sagittal"),
        ((1, 3, 1), "coronal"),
        ((2, 2, 1), "axial"),  # large pixels, thin slices: still cut along the pixels
        ((1, 1, 0.8), "axial"),
        ((0.5, 0.45, 0.5), "coronal"),
        ((1, 2, 2), "sagittal"),
        ((1, 1, 1), "axial"),
        ((1.000004, 1, 1), "axial"),
        ((1, 1.008, 1.016), "axial"),  # neighbours are alike, so none is the odd one out
        ((1, 2, 3), "axial"),
        ((1, 3, 2), "coronal"),
        ((3, 1, 2), "sagittal"),
    ],
)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_acquired_slices_are_found_wherever_they_are_stored(sizes, plane, order):
    assert find_slicing(affine(sizes)[:, [*order, 3]]).plane == plane


MM = st.one_of(st.floats(0.2, 8), st.sampled_from([0.5, 0.9375, 1.0, 1.005, 1.2, 3.0]))


@given(st.tuples(MM, MM, MM), st.sampled_from(ORIENTATIONS))
def test_the_plane_follows_from_the_spacing_of_the_body_alone(sizes, turn):
    alike = {
        axis: abs(np.subtract(*others)) <= 0.01 * max(others)
        for axis, others in enumerate([sizes[1:], sizes[::2], sizes[:2]])
    }
    odd = [axis for axis in alike if alike[axis]]
    if len(odd) == 1:
        expected = PLANES[odd[0]]
    else:
        expected = "axial" if odd else PLANES[int(np.argmax(sizes))]
    assert find_slicing(stored_matrix(turn, sizes)).plane == expected


@given(st.tuples(MM, MM, MM), st.sampled_from(ORIENTATIONS), st.integers(0, 2))
def test_the_header_knows_better_and_the_user_best(sizes, turn, slice_axis):
    matrix = stored_matrix(turn, sizes)
    slicing = find_slicing(matrix, slice_axis=slice_axis)
    assert slicing.axes[0] == slice_axis
    assert turn[PLANES.index(slicing.plane), 0] == slice_axis
    assert find_slicing(matrix, "coronal", slice_axis=slice_axis).plane == "coronal"


def test_an_oblique_volume_is_cut_along_the_nearest_plane():
    turn = np.array([[0.1, -0.995, 0, 0], [0.995, 0.1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    voxels = phantom((4, 5, 6))
    slicing = find_slicing(turn, "coronal")
    canonical = nib.as_closest_canonical(nib.Nifti1Image(voxels, turn)).get_fdata()
    expected = canonical.transpose(LAYOUT["coronal"])[:, ::-1, ::-1]
    np.testing.assert_array_equal(slicing.slices(voxels), expected)


def test_axes_along_one_direction_are_refused():
    flat = affine()
    flat[:3, 1] = flat[:3, 0]
    with pytest.raises(BadInputError, match="cannot be brought to RAS") as caught:
        find_slicing(flat, "axial", path=HERE)
    assert caught.value.path == HERE
