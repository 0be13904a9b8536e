"""Pairs of files, FreeSurfer's MGH and series of volumes, as nibabel reads them."""

import gzip
import shutil
import struct

import nibabel as nib
import numpy as np
import pytest
import scipy.io

from data_prep.errors import BadInputError
from data_prep.scans import layouts, nifti
from data_prep.scans.sources import find, read, slice_layout
from tests.data_prep.phantoms import affine, phantom, save


def oblique():
    matrix = affine((0.9, 0.8, 3.1))
    matrix[:3, :3] = nib.eulerangles.euler2mat(0.1, -0.05, 0.2) @ matrix[:3, :3]
    return matrix


def integers():
    return (phantom() / 4).astype(np.int16)


def packed(path):
    """The same file, compressed."""
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return target


KINDS = {
    "mgz": (nib.MGHImage, "scan.mgz"),
    "mgh": (nib.MGHImage, "scan.mgh"),
    "nifti pair": (nib.Nifti1Pair, "scan.img"),
    "nifti 2 pair": (nib.Nifti2Pair, "scan.img"),
    "analyze": (nib.AnalyzeImage, "scan.img"),
    "spm99": (nib.Spm99AnalyzeImage, "scan.img"),
    "spm2": (nib.Spm2AnalyzeImage, "scan.img"),
}


def write(folder, kind, voxels=None, matrix=None):
    make, name = KINDS[kind]
    matrix = oblique() if matrix is None else matrix
    image = make(integers() if voxels is None else voxels, None if kind == "analyze" else matrix)
    if kind == "analyze":
        image.header.set_zooms((0.9, 0.8, 3.1, 1)[: len(image.shape)])
    nib.save(image, folder / name)
    return folder / name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_voxels_and_places_are_those_nibabel_reads(tmp_path, kind, dtype):
    path = write(tmp_path, kind, (phantom() / 4).astype(dtype))
    expected = nib.load(path)
    (scan,) = find([tmp_path]).scans
    image = nifti.read(scan.path)
    np.testing.assert_array_equal(image.voxels, expected.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(image.affine, expected.affine, atol=1e-5)
    np.testing.assert_allclose(image.header.get_best_affine(), expected.affine, atol=1e-5)
    assert image.header.get_data_dtype() == dtype
    geometry = nifti.read_geometry(scan.path)
    np.testing.assert_array_equal(geometry.affine, image.affine)
    assert image.sha256 == nifti.checksum(scan.path)
    assert bool(image.doubts) == (kind == "analyze")
    assert slice_layout(scan.path, "auto", "kspace") == ("axial", (12, 20, 24))


def test_a_pair_is_one_scan_called_by_its_header(tmp_path):
    path = write(tmp_path, "nifti pair")
    for given in ([tmp_path], [path], [tmp_path / "scan.hdr"], [path, tmp_path / "scan.hdr"]):
        assert [scan.path for scan in find(given).scans] == [tmp_path / "scan.hdr"]
    expected = nifti.read(tmp_path / "scan.hdr").voxels
    packed(path)
    assert [scan.path for scan in find([tmp_path]).scans] == [tmp_path / "scan.hdr"]
    np.testing.assert_array_equal(nifti.read(tmp_path / "scan.hdr").voxels, expected)


def test_the_checksum_of_a_pair_is_of_both_files(tmp_path):
    path = write(tmp_path, "nifti pair")
    before = nifti.checksum(tmp_path / "scan.hdr")
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes(raw)
    assert nifti.checksum(tmp_path / "scan.hdr") != before


def test_spms_matrix_is_part_of_an_analyze_scan(tmp_path):
    path = write(tmp_path, "spm99").with_suffix(".hdr")
    before, matrix = nifti.read(path), tmp_path / "scan.mat"
    assert layouts.files(path) == (path, matrix, tmp_path / "scan.img")
    swapped = np.diag([-1, 1, 1, 1]) @ scipy.io.loadmat(matrix)["mat"]
    scipy.io.savemat(matrix, {"mat": swapped})
    after = nifti.read(path)
    np.testing.assert_allclose(after.affine[0], -before.affine[0], atol=1e-5)
    assert after.sha256 == nifti.checksum(path) != before.sha256


def test_a_matrix_of_other_software_is_no_part_of_a_nifti_pair(tmp_path):
    path = write(tmp_path, "nifti pair").with_suffix(".hdr")
    (tmp_path / "scan.mat").write_text("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")  # of FSL's flirt
    assert layouts.files(path) == (path, tmp_path / "scan.img")
    assert nifti.read(path).doubts == ()
    (tmp_path / "scan.img").unlink()
    assert not nifti.is_volume(path)


def test_an_empty_matrix_tells_no_left_from_right(tmp_path):
    path = write(tmp_path, "spm99").with_suffix(".hdr")
    (tmp_path / "scan.mat").write_bytes(b"")
    assert "does not tell left from right" in nifti.read_geometry(path).doubts[0]


@pytest.mark.parametrize(
    "content",
    [
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM",
        b"1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n" * 10,
        {"x": np.eye(4)},
        {"M": np.eye(3)},
        {"M": "four by four"},
    ],
)
def test_a_matrix_that_cannot_be_read_is_named(tmp_path, content):
    path = write(tmp_path, "spm99").with_suffix(".hdr")
    if isinstance(content, dict):
        scipy.io.savemat(tmp_path / "scan.mat", content)
    else:
        (tmp_path / "scan.mat").write_bytes(content)
    with pytest.raises(BadInputError, match="holds no affine that can be read") as caught:
        nifti.read_geometry(path)
    assert caught.value.path == tmp_path / "scan.mat"
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("start", "stop", "value", "fault"),
    [
        (30, 34, 0.0, "impossible voxel sizes, got 0 x 0.8 x 3.1"),  # spacings
        (30, 34, np.nan, "values that are no numbers"),
        (42, 54, 0.0, "impossible voxel sizes, got 0 x 0.8 x 3.1"),  # an axis
        (42, 78, 0.0, "is zero"),
        (78, 82, np.nan, "values that are no numbers"),  # the centre
    ],
)
def test_impossible_places_in_a_freesurfer_file_are_named(tmp_path, start, stop, value, fault):
    path = write(tmp_path, "mgh")
    raw = bytearray(path.read_bytes())
    raw[start:stop] = struct.pack(">f", value) * ((stop - start) // 4)
    path.write_bytes(raw)
    with pytest.raises(BadInputError, match=rf"scan\.mgh: has a geometry that .* {fault}"):
        nifti.read_geometry(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("series", [False, True])
def test_labels_in_other_formats_are_left_out(tmp_path, kind, series):
    scan, drawn = tmp_path / "scan", tmp_path / "drawn"
    labels = np.minimum(phantom() / 200, 5).astype(np.int16)
    for folder, voxels in ((scan, integers()), (drawn, labels)):
        folder.mkdir()
        write(folder, kind, np.stack([voxels, voxels], axis=-1) if series else voxels)
    found = find([tmp_path])
    assert [scan.path.parent.name for scan in found.scans] == ["scan"]
    assert [(item.path.parent.name, item.reason) for item in found.left_out] == [
        ("drawn", "label image")
    ]


def test_a_compressed_pair_of_labels_is_left_out(tmp_path):
    packed(write(tmp_path, "nifti pair", (phantom() > 500).astype(np.uint8)))
    with pytest.raises(BadInputError, match="left out 1: 1 label image"):
        find([tmp_path])


@pytest.mark.parametrize("name", ["scan.hdr", "scan.img"])
def test_a_pair_that_was_fetched_by_half_is_named(tmp_path, name):
    write(tmp_path, "nifti pair")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(".git/annex/objects/x/y")
    with pytest.raises(BadInputError, match=r"1 of 1 scans is not here.*\n.*scan\.hdr\n.*datalad"):
        find([tmp_path])


@pytest.mark.parametrize("kind", ["mgz", "nifti pair", "spm99"])
def test_damaged_files_of_other_formats_are_refused(tmp_path, kind):
    good = tmp_path / "good"
    good.mkdir()
    path = write(good, kind)
    for number, spoil in enumerate(
        (lambda raw: b"", lambda raw: raw[: len(raw) // 2], lambda raw: b"text" * 400)
    ):
        folder = tmp_path / str(number)
        shutil.copytree(good, folder)
        (folder / path.name).write_bytes(spoil(path.read_bytes()))
        header = folder / ("scan.mgz" if kind == "mgz" else "scan.hdr")
        with pytest.raises(BadInputError) as caught:
            nifti.read(header)
        assert caught.value.path == header
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"x" * 348, b"x" * 100])
def test_damaged_headers_are_refused(tmp_path, content):
    write(tmp_path, "spm99")
    (tmp_path / "scan.hdr").write_bytes(content)
    with pytest.raises(BadInputError, match="is not an Analyze header"):
        nifti.read_geometry(tmp_path / "scan.hdr")


def test_a_header_alone_is_refused(tmp_path):
    path = write(tmp_path, "nifti pair")
    path.unlink()
    with pytest.raises(BadInputError, match=r"has no \.img beside it"):
        nifti.read(tmp_path / "scan.hdr")
    with pytest.raises(BadInputError, match="holds no scan"):
        find([tmp_path])


@pytest.mark.parametrize("kind", ["nii", "mgz", "nifti pair"])
def test_one_volume_of_a_series_is_chosen(tmp_path, kind):
    series = np.stack([(n + 1) * integers() for n in range(3)], axis=-1)
    if kind == "nii":
        path = save(tmp_path / "scan.nii.gz", series)
    else:
        write(tmp_path, kind, series)
        path = tmp_path / ("scan.mgz" if kind == "mgz" else "scan.hdr")
    assert nifti.read_geometry(path).volumes == 3
    with pytest.raises(BadInputError, match=r"is a series of volumes, 3 of them\. Choose one with"):
        slice_layout(path, "auto", "kspace")
    with pytest.raises(BadInputError, match="so there is no volume 3"):
        slice_layout(path, "auto", "kspace", volume=3)
    assert slice_layout(path, "auto", "kspace", volume=2).shape == (12, 20, 24)
    first, third = (read(path, "axial", "kspace", number).images for number in (0, 2))
    np.testing.assert_array_equal(third, 3 * first)
    alone = save(tmp_path / "alone" / "scan.nii", integers())
    assert slice_layout(alone, "auto", "kspace", volume=2).shape == (12, 20, 24)
