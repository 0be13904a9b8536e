"""What is believed of a header that contradicts itself, beside what nibabel makes of it."""

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError
from data_prep.scans import nifti, nifti_geometry
from data_prep.scans.sources import slice_layout
from tests.data_prep.phantoms import affine, edit, save


def placed(header, shape=(24, 20, 12)):
    return nifti_geometry.place(header, shape, "scan.nii")


def header_of(sform=None, qform=None, codes=(1, 1), sizes=None) -> nib.Nifti1Header:
    """A header with both forms; without one, its code is 0."""
    header = nib.Nifti1Header()
    header.set_data_shape((24, 20, 12))
    header["pixdim"][1:4] = (1, 1, 3)
    if qform is not None:
        header.set_qform(qform, codes[1])
    if sform is not None:
        header.set_sform(sform, codes[0])
    if sizes is not None:
        header["pixdim"][1:4] = sizes
    return header


def turned(spacing=(1.0, 1.0, 3.0)):
    matrix = affine(spacing)
    matrix[:3, :3] = nib.eulerangles.euler2mat(0.1, -0.05, 0.2) @ matrix[:3, :3]
    return matrix


@pytest.mark.parametrize("codes", [(1, 1), (4, 0), (0, 1), (2, 4), (0, 0)])
def test_a_header_that_agrees_with_itself_is_nibabels_and_untouched(codes):
    forms = [turned() if code else None for code in codes]
    header = header_of(*forms, codes=codes)
    place = placed(header)
    np.testing.assert_array_equal(place.affine, header.get_best_affine())
    assert (place.doubts, place.header.binaryblock) == ((), header.binaryblock)


def test_the_sform_is_believed_before_the_qform_and_both_are_named():
    header = header_of(affine(), np.diag([-1, 1, 1, 1]) @ affine())
    place = placed(header)
    np.testing.assert_array_equal(place.affine, affine())
    (doubt,) = place.doubts
    assert "sform (1 x 1 x 3 mm, RAS) and a qform (1 x 1 x 3 mm, LAS)" in doubt
    assert "up to 26 mm apart; the sform is used" in doubt


def test_a_shift_in_one_space_is_a_contradiction_and_in_two_it_is_none():
    assert "up to 5 mm apart" in placed(header_of(affine(), affine(origin=(-5, -12, -5)))).doubts[0]
    other_space = header_of(affine(), affine(origin=(-5, -12, -5)), codes=(4, 1))
    assert placed(other_space).doubts == ()
    assert placed(header_of(affine(), affine(origin=(-10.01, -12, -5)))).doubts == ()


@pytest.mark.parametrize("row", [0, np.nan, np.inf])
def test_a_useless_sform_gives_way_to_a_good_qform(row):
    header = header_of(affine(), turned())
    for name in ("srow_x", "srow_y", "srow_z"):
        header[name] = row
    place = placed(header)
    np.testing.assert_array_equal(place.affine, header.get_qform())
    assert "has a sform that" in place.doubts[0]
    assert "its qform is used" in place.doubts[0]
    np.testing.assert_array_equal(place.header.get_best_affine(), header.get_qform())


def test_a_useless_qform_does_not_matter_beside_a_good_sform():
    header = header_of(affine(), turned())
    header["quatern_b"] = np.nan
    place = placed(header)
    np.testing.assert_array_equal(place.affine, affine())
    assert "has a qform that has values that are no numbers; its sform is used" in place.doubts
    assert place.header["qform_code"] == 0


@pytest.mark.parametrize("size", [0, 2, -1])
def test_voxel_sizes_are_the_sforms(size):
    header = header_of(affine(), sizes=(1, size, 3))
    place = placed(header)
    np.testing.assert_array_equal(place.affine, affine())
    assert any(f"1 x {size} x 3 mm" in doubt for doubt in place.doubts)
    assert len(place.doubts) == 1
    if size == 0:
        np.testing.assert_array_equal(place.header["pixdim"][1:4], (1, 1, 3))
        assert "of 1 x 1 x 3 mm in its sform, which is used" in place.doubts[0]


@pytest.mark.parametrize("code", [0, 1])
def test_negative_voxel_sizes_are_taken_without_their_sign(code):
    header = header_of(qform=affine() if code else None)
    expected = header.get_best_affine()
    header["pixdim"][3] = -3
    place = placed(header)
    np.testing.assert_array_equal(place.affine, expected)
    assert place.doubts == (
        "has negative voxel sizes, 1 x 1 x -3 mm; their absolute values are used",
    )


@pytest.mark.parametrize("more", [1e-6, 1e-4, 5e-3])
def test_a_quaternion_over_unity_is_shortened(more):
    header = header_of(qform=np.diag([-1, -1, 3, 1]))  # half a turn: b, c, d = 0, 0, 1
    expected = header.get_qform()
    header["quatern_d"] = 1 + more
    with pytest.raises((ValueError, nib.spatialimages.HeaderDataError)):
        header.get_qform()
    place = placed(header)
    np.testing.assert_allclose(place.affine, expected, atol=1e-6)
    assert f"has a quaternion of length {1 + more:.7g}" in place.doubts[0]
    np.testing.assert_allclose(place.header.get_best_affine(), expected, atol=1e-6)


@pytest.mark.parametrize(("sign", "expected"), [(0, 1), (5, 1), (-3, -1)])
def test_only_the_sign_of_pixdim_0_counts(sign, expected):
    header = header_of(qform=affine())
    header["pixdim"][0] = sign
    place = placed(header)
    np.testing.assert_array_equal(place.affine[2], (0, 0, 3 * expected, -5))
    np.testing.assert_array_equal(place.header.get_best_affine(), place.affine)


def test_dim_info_is_believed_against_the_spacing():
    header = header_of(affine())
    header.set_dim_info(slice=0)
    (doubt,) = placed(header).doubts
    assert "stacked along its axis 1" in doubt
    assert "1 x 1 x 3 mm look stacked along axis 3; dim_info is believed" in doubt
    header.set_dim_info(slice=2)
    assert placed(header).doubts == ()
    thin = header_of(affine((1, 1, 1)), sizes=(1, 1, 1))
    thin.set_dim_info(slice=0)
    assert placed(thin).doubts == ()


def test_what_cannot_be_used_is_refused():
    for header in (header_of(sizes=(1, 0, 3)), header_of(sizes=(1, np.nan, 3))):
        with pytest.raises(BadInputError, match=r"impossible voxel sizes, got 1 x (0|nan) x 3 mm"):
            placed(header)
    header = header_of(qform=affine())
    header["quatern_b"] = 1.5
    with pytest.raises(BadInputError, match="its qform has values that are no numbers"):
        placed(header)


def test_micrometres_and_metres_become_millimetres(tmp_path):
    for units, factor in ((3, 0.001), (1, 1000.0), (2, 1.0), (0, 1.0)):
        path = edit(save(tmp_path / "scan.nii"), xyzt_units=units)
        np.testing.assert_allclose(np.diag(nifti.read(path).affine)[:3], np.r_[1, 1, 3] * factor)


@pytest.mark.parametrize(("units", "factor"), [(1, 1e-3), (3, 1e3)])
@pytest.mark.parametrize("size", [0.005, 0.1, 5])
def test_small_voxels_are_no_plane_in_any_unit(units, factor, size):
    header = header_of(affine((size * factor,) * 3), sizes=(size * factor,) * 3)
    header["xyzt_units"] = units
    place = placed(header)
    assert place.doubts == ()
    np.testing.assert_allclose(np.diag(place.affine)[:3], size, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1, 1e4])
def test_a_plane_is_found_in_any_unit(scale):
    flat = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]) / 3  # of rank 2, but for rounding
    header = header_of(np.diag([scale, scale, scale, 1]) @ nib.affines.from_matvec(flat))
    with pytest.raises(BadInputError, match="its sform maps the volume onto a plane"):
        placed(header)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("entry", [1e300, 1e160, 1e30])
def test_absurd_voxel_sizes_are_not_believed(entry):
    header = nib.Nifti2Header()
    header.set_data_shape((24, 20, 12))
    header.set_qform(turned(), 1)
    header.set_sform(turned(), 1)
    header["srow_y"][1] = entry
    place = placed(header)
    np.testing.assert_array_equal(place.affine, header.get_qform())
    assert "has a sform that has impossible voxel sizes, got 1 x " in place.doubts[0]
    header["qform_code"] = 0
    with pytest.raises(BadInputError, match="its sform has impossible voxel sizes, got 1 x "):
        placed(header)
    header["sform_code"], header["pixdim"][2] = 0, entry
    with pytest.raises(
        BadInputError, match=r"has impossible voxel sizes, got 1 x 1e[+-]\d+ x 3 mm"
    ):
        placed(header)


def test_doubts_name_the_file(tmp_path):
    path = edit(save(tmp_path / "scan.nii"), pixdim={3: -3})
    told = []
    slice_layout(path, "auto", "kspace", told.append)
    assert told == [
        f"{path}: has negative voxel sizes, 1 x 1 x -3 mm; their absolute values are used"
    ]
    assert nifti.read(path).doubts == nifti.read_geometry(path).doubts


@pytest.mark.parametrize(
    ("roles", "axis"),
    [
        ((0, 1, 2), 2),
        ((None, None, 0), 0),
        ((2, 0, 1), 1),
        ((0, 1, None), None),
        ((None, None, None), None),
        ((2, 1, 2), None),  # one axis is both read out and stacked along
        ((0, 2, 2), None),
    ],
)
def test_the_slice_axis_is_the_headers_unless_it_has_another_role(roles, axis):
    header = nib.Nifti1Header()
    header.set_dim_info(*roles)
    assert nifti_geometry.slice_axis(header) == axis
