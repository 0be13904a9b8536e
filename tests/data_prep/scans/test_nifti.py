import gzip
import itertools
import time
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError
from data_prep.kspace import Degradation
from data_prep.prepare.pairs import slice_pairs
from data_prep.scans import nifti, nifti_header
from data_prep.scans.sources import read as read_volume
from tests.data_prep.malformed import CASES
from tests.data_prep.phantoms import affine, edit, phantom, save


def test_there_are_at_least_forty_malformed_volumes():
    assert len(CASES) >= 40


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_volume_is_one_error_that_names_file_and_fault(name, tmp_path):
    make, fault = CASES[name]
    path = make(tmp_path)
    started = time.perf_counter()
    with pytest.raises(BadInputError) as caught:
        slice_pairs(read_volume(path, "axial", "kspace"), Degradation(), path)
    assert time.perf_counter() - started < 2
    assert fault in caught.value.fault
    assert caught.value.path == path
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bomb", "bomb_behind_an_innocent_header", "absurd_shape"])
def test_absurd_sizes_are_refused_before_memory_is_taken(name, tmp_path):
    path = CASES[name][0](tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError):
            nifti.read(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_folder_or_a_locked_file_is_an_error_too(tmp_path):
    folder = tmp_path / "scan.nii"
    folder.mkdir()
    with pytest.raises(BadInputError, match="cannot be read: Is a directory"):
        nifti.read(folder)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8", "f4", "f8"])
def test_voxels_are_those_nibabel_reads(tmp_path, suffix, dtype):
    voxels = phantom() if dtype[0] == "f" else (phantom() / 4).astype(dtype)
    path = save(tmp_path / f"scan{suffix}", voxels.astype(dtype))
    image = nifti.read(path)
    assert image.voxels.dtype == np.float32
    np.testing.assert_array_equal(image.voxels, nib.load(path).get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(image.affine, nib.load(path).affine)


def test_scaled_integers_and_other_byte_orders(tmp_path):
    path = save(tmp_path / "scan.nii.gz", phantom(), dtype=np.int16)  # nibabel chooses a slope
    np.testing.assert_allclose(
        nifti.read(path).voxels, nib.load(path).get_fdata(), rtol=1e-6, atol=1e-4
    )
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image((phantom() / 2).astype(np.int16), affine(), header)
    nib.save(image, tmp_path / "big.nii")
    assert (tmp_path / "big.nii").read_bytes()[:4] == b"\x00\x00\x01\x5c"
    np.testing.assert_array_equal(nifti.read(tmp_path / "big.nii").voxels, image.get_fdata())


def test_nifti2_and_a_trailing_axis_of_one(tmp_path):
    nib.save(nib.Nifti2Image(phantom()[..., None], affine()), tmp_path / "two.nii.gz")
    image = nifti.read(tmp_path / "two.nii.gz")
    np.testing.assert_array_equal(image.voxels, phantom())


def test_a_slope_of_zero_or_nan_means_none(tmp_path):
    for slope in (0, np.nan):
        path = edit(save(tmp_path / "scan.nii"), scl_slope=slope, scl_inter=5)
        np.testing.assert_array_equal(nifti.read(path).voxels, phantom())


@pytest.mark.parametrize(
    "cuts",
    [
        [1000],
        [0],  # an empty first member
        [0, 0, 0, 100, 348],
        [4],  # a header in several members
        [200, 347],
        range(1, 400),
    ],
)
@pytest.mark.parametrize("padding", [b"", bytes(64)])
def test_members_of_gzip_are_one_file(tmp_path, cuts, padding):
    raw = save(tmp_path / "scan.nii").read_bytes() + padding
    ends = [0, *cuts, len(raw)]
    members = [gzip.compress(raw[a:b]) for a, b in itertools.pairwise(ends)]
    path = tmp_path / "members.nii.gz"
    path.write_bytes(b"".join(members) + padding)
    image = nifti.read(path)
    np.testing.assert_array_equal(image.voxels, nib.load(path).get_fdata())
    assert nifti.read_geometry(path).shape == image.voxels.shape


@pytest.mark.slow
def test_many_members_are_read_as_fast_as_one(tmp_path):
    rng = np.random.default_rng(0)
    raw = save(tmp_path / "scan.nii", rng.integers(0, 500, (256, 256, 100), np.int16)).read_bytes()
    (tmp_path / "one.nii.gz").write_bytes(gzip.compress(raw, 1))
    with (tmp_path / "many.nii.gz").open("wb") as file:  # as bgzip writes
        for start in range(0, len(raw), 32 << 10):
            file.write(gzip.compress(raw[start : start + (32 << 10)], 1))
    seconds = {"one": [], "many": []}
    for _ in range(3):
        for name, taken in seconds.items():
            started = time.perf_counter()
            nifti.read(tmp_path / f"{name}.nii.gz")
            taken.append(time.perf_counter() - started)
    assert min(seconds["many"]) < 1.5 * min(seconds["one"])


def test_the_header_alone_gives_the_geometry(tmp_path):
    path = save(tmp_path / "scan.nii.gz")
    geometry = nifti.read_geometry(path)
    assert (geometry.shape, geometry.slice_axis) == ((24, 20, 12), None)
    np.testing.assert_array_equal(geometry.affine, affine())
    named = edit(save(tmp_path / "named.nii"), dim_info=0b01_11_10)  # slices 1, phase 3, read 2
    assert nifti.read_geometry(named).slice_axis == 0


@pytest.mark.parametrize(
    "name", ["missing", "text", "five_axes", "rgb", "nan_voxel_size", "bomb", "flat_affine"]
)
def test_the_header_alone_finds_most_faults(name, tmp_path):
    make, fault = CASES[name]
    with pytest.raises(BadInputError, match=fault):
        nifti.read_geometry(make(tmp_path))


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.nii.gz", "a"), ("a.b.nii", "a.b"), ("A.NII.GZ", "A"), ("file1.h5", "file1")],
)
def test_stem(tmp_path, name, stem):
    assert nifti.stem(tmp_path / name) == stem


def write(path, voxels, header, **options):
    path.write_bytes(b"".join(nifti.packed(path, voxels, header, **options)))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_writing_keeps_the_header(tmp_path, suffix, dtype):
    voxels = (phantom() / 4).astype(dtype)
    image = nib.Nifti1Image(voxels, affine())
    image.set_sform(affine(), code=4)
    image.set_qform(affine(), code=1)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"scanner says hello"
    nib.save(image, tmp_path / f"in{suffix}")
    source = nifti.read(tmp_path / f"in{suffix}")
    write(tmp_path / f"out{suffix}", source.voxels * 1.1, source.header)
    back = nib.load(tmp_path / f"out{suffix}")
    assert back.get_data_dtype() == np.dtype(dtype)
    assert (back.header["sform_code"], back.header["qform_code"]) == (4, 1)
    assert back.header.get_xyzt_units() == ("mm", "sec")
    assert back.header["descrip"] == b"scanner says hello"
    np.testing.assert_array_equal(back.affine, affine())
    expected = source.voxels.astype(np.float64) * np.float32(1.1)
    if np.issubdtype(dtype, np.integer):
        expected = np.clip(np.rint(source.voxels * np.float32(1.1)), 0, np.iinfo(dtype).max)
    np.testing.assert_allclose(back.get_fdata(), expected, rtol=1e-6)


def test_writing_keeps_slope_and_intercept(tmp_path):
    path = edit(save(tmp_path / "in.nii", phantom().astype(np.int16)), scl_slope=0.5, scl_inter=-10)
    source = nifti.read(path)
    write(tmp_path / "out.nii", source.voxels, source.header)
    assert (tmp_path / "out.nii").read_bytes() == path.read_bytes()


def written(path, voxels, header):
    """What `packed` packs, as nibabel reads it."""
    write(path, voxels, header, widen=True)
    return nib.load(path)


def test_bright_voxels_are_not_clipped_where_the_slope_is_negative(tmp_path):
    stored = np.arange(256, dtype=np.uint8).reshape(8, 8, 4)
    path = edit(save(tmp_path / "in.nii", stored), scl_slope=-1, scl_inter=255)
    source = nifti.read(path)
    assert source.voxels.max() == 255
    back = written(tmp_path / "out.nii", source.voxels * 1.25 - 10, source.header)
    assert back.get_data_dtype() == np.int16
    np.testing.assert_allclose(back.get_fdata(), source.voxels * 1.25 - 10, atol=0.5)


@pytest.mark.parametrize(
    ("dtype", "extreme", "expected"),
    [
        ("u1", 255.4, "u1"),
        ("u1", 256, "u2"),
        ("u2", 70_000, "u4"),
        ("i2", 32_767, "i2"),
        ("i2", 32_768, "i4"),
        ("i4", 1e12, "i8"),
        ("u8", 1e30, "f8"),
        ("u2", -0.5, "u2"),  # rounds to zero
        ("u2", -0.6, "i2"),
        ("u1", -129, "i2"),
        ("f4", 1e30, "f4"),
    ],
)
def test_integers_are_widened_instead_of_clipped(tmp_path, dtype, extreme, expected):
    source = nifti.read(save(tmp_path / "in.nii", np.zeros((3, 4, 5), dtype)))
    voxels = np.zeros((3, 4, 5))
    voxels[1, 2, 3] = extreme
    back = written(tmp_path / "out.nii.gz", voxels, source.header)
    assert back.get_data_dtype() == np.dtype(expected)
    assert back.header["bitpix"] == 8 * np.dtype(expected).itemsize
    np.testing.assert_allclose(back.get_fdata(), voxels, rtol=1e-7, atol=0.5)


def test_widening_knows_slope_sign_and_byte_order(tmp_path):
    assert nifti_header.wide_enough(np.dtype("i1"), -129, 5) == np.dtype("i2")
    assert nifti_header.wide_enough(np.dtype("u2"), -1, 40_000) == np.dtype("i4")
    assert nifti_header.wide_enough(np.dtype("u8"), -1, 1e19) == np.float64
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    header["scl_slope"], header["scl_inter"] = -0.5, 10
    voxels = np.full((2, 2, 2), 20_000.0)  # stored as (20000 - 10) / -0.5 = -39980
    back = written(tmp_path / "out.nii", voxels, header)
    assert back.get_data_dtype() == np.dtype(">i4")
    np.testing.assert_array_equal(back.get_fdata(), voxels)


@pytest.mark.parametrize("codes", [(1, 2), (4, 0), (0, 1)])
@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_a_refined_header_is_the_same_place_on_a_finer_grid(codes, axes):
    # sform and qform may differ: oblique, a reflection, another origin.
    sform = np.array(
        [[-0.9, 0.1, 0.2, 12.3], [0.1, 0.8, -0.3, -4.5], [0, 0.4, 2.9, 7], [0, 0, 0, 1]]
    )
    turn = nib.eulerangles.euler2mat(0.1, -0.2, 0.3)
    qform = np.eye(4)
    qform[:3, :3] = turn @ np.diag([-0.9, 0.9, 3.1])
    qform[:3, 3] = 5, 6, 7
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), None)
    image.set_qform(qform, codes[1], update_affine=False)
    image.set_sform(sform, codes[0], update_affine=False)
    header = image.header
    fine = nifti_header.refined(header, axes, 2)
    step = np.ones(4)
    step[list(axes)] = 0.5
    np.testing.assert_array_equal(fine.get_sform(), header.get_sform() * step)
    np.testing.assert_allclose(fine.get_qform(), header.get_qform() * step, atol=1e-6)
    assert (fine["sform_code"], fine["qform_code"]) == codes
    np.testing.assert_array_equal(fine["pixdim"][1:4], header["pixdim"][1:4] * step[:3])


def test_a_refined_header_forgets_the_slices_order_only_if_they_are_refined():
    header = nib.Nifti1Header()
    header.set_dim_info(0, 1, 2)
    header["slice_end"], header["slice_code"] = 9, 1
    assert nifti_header.refined(header, (0, 1), 2)["slice_end"] == 9
    assert nifti_header.refined(header, (0, 2), 2)["slice_end"] == 0


def test_a_map_of_other_quantities_is_float_without_a_slope():
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint16)
    header["scl_slope"], header["cal_max"] = 3, 900
    other = nifti_header.of_floats(header)
    assert other.get_data_dtype() == np.float32
    assert (other["scl_slope"], other["scl_inter"], other["cal_max"]) == (1, 0, 0)
    assert header["scl_slope"] == 3
