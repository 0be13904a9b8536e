from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError
from data_prep.planes import PLANES, choose_plane, cut, slices, spacing, to_ras
from tests.data_prep.scans import affine, phantom

HERE = Path("scan.nii")
ORIENTATIONS = [
    list(zip(axes, flips, strict=True))
    for axes in permutations(range(3))
    for flips in product((1, -1), repeat=3)
]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_how_a_file_was_stored_never_shows(orientation):
    # All 48 axis orders and flips, the 24 rotations among them.
    voxels, matrix = phantom((7, 6, 5)), affine((1, 1.5, 2))
    turn = np.array(orientation, float)
    stored = nib.apply_orientation(voxels, turn)
    stored_matrix = matrix @ nib.orientations.inv_ornt_aff(turn, voxels.shape)
    back, back_matrix = to_ras(stored, stored_matrix, HERE)
    np.testing.assert_array_equal(back, voxels)
    np.testing.assert_allclose(back_matrix, matrix, atol=1e-12)


def test_rows_and_columns_as_a_radiologist_sees_them():
    # One bright voxel: rightmost, most anterior and most superior of a 2 x 3 x 4 volume.
    voxels = np.zeros((2, 3, 4), np.float32)
    voxels[1, 2, 3] = 1
    expected = {"axial": (3, 0, 0), "coronal": (2, 0, 0), "sagittal": (1, 0, 0)}
    shapes = {"axial": (4, 3, 2), "coronal": (3, 4, 2), "sagittal": (2, 4, 3)}
    for plane in PLANES:
        images = slices(voxels, plane)
        assert images.shape == shapes[plane]
        assert tuple(np.argwhere(images)[0]) == expected[plane]


@pytest.mark.parametrize(
    ("sizes", "plane"),
    [
        ((0.6, 0.6, 3.3), "axial"),
        ((1.2, 0.9375, 0.9375), "sagittal"),
        ((1, 3, 1), "coronal"),
        ((1, 1, 1), "axial"),
        ((1.000004, 1, 1), "axial"),
        ((2, 2, 1), "coronal"),
    ],
)
def test_slices_lie_across_the_largest_spacing(sizes, plane):
    assert choose_plane(affine(sizes)) == plane


def test_spacing_is_row_column_slice():
    matrix = affine((1.0, 2.0, 3.0))
    assert spacing(matrix, "axial") == (2.0, 1.0, 3.0)
    assert spacing(matrix, "coronal") == (3.0, 1.0, 2.0)
    assert spacing(matrix, "sagittal") == (3.0, 2.0, 1.0)


def test_an_oblique_volume_goes_to_the_nearest_orientation():
    turn = np.array([[0.1, -0.995, 0, 0], [0.995, 0.1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    voxels = phantom((4, 5, 6))
    back, matrix = to_ras(voxels, turn, HERE)
    assert back.shape == (5, 4, 6)
    assert nib.aff2axcodes(matrix) == ("R", "A", "S")
    corner = matrix @ [0, 0, 0, 1]
    original = nib.affines.apply_affine(np.linalg.inv(turn), corner[:3]).round().astype(int)
    assert back[0, 0, 0] == voxels[tuple(original)]


def test_axes_along_one_direction_are_refused():
    flat = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    with pytest.raises(BadInputError, match="cannot be brought to RAS"):
        to_ras(phantom((3, 3, 3)), flat, HERE)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
def test_a_cut_shows_stored_slices_as_training_saw_them(orientation, plane):
    turn = np.array(orientation, float)
    voxels, matrix = phantom((7, 6, 5)), affine((1, 1.5, 2))
    stored = nib.apply_orientation(voxels, turn)
    found = cut(matrix @ nib.orientations.inv_ornt_aff(turn, voxels.shape), HERE, plane)
    stack = found.stack(stored)
    # The order of the slices is the file's; what each shows is not.
    shown = found.shown(stack)[:: int(turn[PLANES.index(plane), 1])]
    np.testing.assert_array_equal(shown, slices(voxels, plane))
    np.testing.assert_array_equal(found.stored(found.shown(stack)), stack)
    assert np.shares_memory(found.shown(stack), stored)
    assert stack.shape[1:] == tuple(stored.shape[axis] for axis in found.in_plane)


@pytest.mark.parametrize(
    ("sizes", "plane"),
    [
        ((0.6, 0.6, 3.3), "axial"),
        ((1.2, 0.9375, 0.9375), "sagittal"),
        ((1, 3, 1), "coronal"),
        ((2, 2, 1), "axial"),  # large pixels, thin slices: still cut along the pixels
        ((1, 2, 2), "sagittal"),
        ((1, 1, 1), "axial"),
        ((1.000004, 1, 1), "axial"),
        ((1, 2, 3), "axial"),
        ((1, 3, 2), "coronal"),
    ],
)
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_acquired_slices_are_found_wherever_they_are_stored(sizes, plane, order):
    assert cut(affine(sizes)[:, [*order, 3]]).plane == plane


def test_the_file_knows_better_which_axis_its_slices_lie_across():
    assert cut(affine((1, 1, 3)), slice_axis=0).plane == "sagittal"
    assert cut(affine((1, 1, 3)), plane="coronal", slice_axis=0).plane == "coronal"


def test_a_cut_of_two_axes_along_one_direction_is_refused():
    flat = affine()
    flat[:3, 1] = flat[:3, 0]
    with pytest.raises(BadInputError, match="cannot be brought to RAS"):
        cut(flat, HERE, "axial")
