"""Pairs of files, FreeSurfer's MGH and series of volumes, as nibabel reads them."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError
from data_prep.scans import nifti
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
