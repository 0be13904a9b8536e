"""NRRD against affines worked out by hand and against NIfTI files of the same volume."""

import nibabel as nib
import nrrd
import numpy as np
import pytest

from data_prep.errors import BadInputError, EnvironmentFault
from data_prep.scans import nifti
from data_prep.scans import nrrd as ours
from data_prep.scans.sources import find, read, slice_layout
from tests.data_prep.phantoms import phantom
from tests.data_prep.scans.test_layouts import integers, oblique

LPS = {
    "space": "left-posterior-superior",
    "space directions": [[0.9, 0, 0], [0, 0.8, 0], [0, 0, 3.1]],
    "space origin": [10.0, 20.0, -30.0],
}
# By hand: left is minus right, posterior minus anterior.
BY_HAND = [[-0.9, 0, 0, -10], [0, -0.8, 0, -20], [0, 0, 3.1, -30], [0, 0, 0, 1]]


def write(path, voxels=None, header=None, **fields):
    """A file by pynrrd, by default in LPS."""
    header = {**(LPS if header is None else header), **fields}
    nrrd.write(str(path), integers() if voxels is None else voxels, header)
    return path


def change(path, old, new):
    """Replace text of a header."""
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
    ],
)
def test_affines_worked_out_by_hand(tmp_path, space, signs):
    directions = [[0.0, 0.9, 0.0], [0.0, 0.0, -0.8], [3.1, 0.0, 0.0]]  # of the voxels' axes
    path = write(tmp_path / "a.nrrd", space=space, **{"space directions": directions})
    r, a, s = signs
    expected = [[0, 0, 3.1 * r, 10 * r], [0.9 * a, 0, 0, 20 * a], [0, -0.8 * s, 0, -30 * s]]
    image = nifti.read(path)
    np.testing.assert_allclose(image.affine, [*expected, [0, 0, 0, 1]], atol=1e-6)
    np.testing.assert_array_equal(image.voxels, integers())
    assert image.doubts == ()


@pytest.mark.parametrize("name", ["scan.nrrd", "scan.nhdr"])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f8"])
def test_it_is_the_scan_that_its_nifti_twin_is(tmp_path, name, encoding, dtype):
    voxels, matrix = (phantom() / 4).astype(dtype), oblique()
    native = voxels.astype(voxels.dtype.newbyteorder("="))
    nib.save(nib.Nifti1Image(native, matrix), tmp_path / "twin.nii")
    lps = np.diag([-1, -1, 1, 1]) @ matrix
    directions = {"space directions": lps[:3, :3].T, "space origin": lps[:3, 3]}
    path = write(tmp_path / name, voxels, LPS | directions, encoding=encoding)
    twin, image = nifti.read(tmp_path / "twin.nii"), nifti.read(path)
    np.testing.assert_array_equal(image.voxels, twin.voxels)
    np.testing.assert_allclose(image.affine, twin.affine, atol=1e-5)
    assert image.header.get_data_dtype() == twin.header.get_data_dtype()
    assert image.sha256 == nifti.checksum(path)
    for scan in (path, tmp_path / "twin.nii"):
        assert slice_layout(scan, "auto", "kspace") == ("axial", (12, 20, 24))
    cut, expected = (read(scan, "axial", "kspace") for scan in (path, tmp_path / "twin.nii"))
    np.testing.assert_array_equal(cut.images, expected.images)
    assert cut.spacing == pytest.approx(expected.spacing, abs=1e-5)


def test_it_is_found_and_called_by_its_header(tmp_path):
    write(tmp_path / "anna_T2.nhdr", encoding="raw")
    write(tmp_path / "berta_T2.nrrd")
    scans = find([tmp_path]).scans
    assert [(scan.path.name, scan.modality) for scan in scans] == [
        ("anna_T2.nhdr", "T2"),
        ("berta_T2.nrrd", "T2"),
    ]


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_labels_are_left_out(tmp_path, encoding):
    labels = np.minimum(phantom() / 200, 5).astype(np.int16)
    write(tmp_path / "drawn.nrrd", labels, encoding=encoding)
    write(tmp_path / "scan.seg.nrrd", encoding=encoding)
    write(tmp_path / "scan.nrrd", encoding=encoding)
    found = find([tmp_path])
    assert [scan.path.name for scan in found.scans] == ["scan.nrrd"]
    reasons = {item.path.name: item.reason for item in found.left_out}
    assert reasons == {"drawn.nrrd": "label image", "scan.seg.nrrd": "segmentation"}


@pytest.mark.parametrize(
    "header",
    [
        {"spacings": [0.9, 0.8, 3.1]},
        {k: value for k, value in LPS.items() if k != "space"} | {"space dimension": 3},
        LPS | {"space": "scanner-xyz"},
    ],
)
def test_without_an_anatomical_space_there_are_voxel_sizes_and_a_warning(tmp_path, header):
    path = write(tmp_path / "a.nrrd", header=header)
    image = nifti.read(path)
    np.testing.assert_allclose(nib.affines.voxel_sizes(image.affine), [0.9, 0.8, 3.1], rtol=1e-6)
    assert "has no orientation" in image.doubts[0]
    assert nib.aff2axcodes(image.affine) == ("L", "A", "S")


def test_a_series_has_its_volumes_last(tmp_path):
    voxels = np.stack([integers(), 2 * integers()], axis=-1)
    rows = [*LPS["space directions"], [np.nan] * 3]
    series = write(tmp_path / "a.nrrd", voxels, LPS | {"space directions": np.array(rows)})
    assert nifti.read_geometry(series).volumes == 2
    np.testing.assert_array_equal(nifti.read(series, 1).voxels, 2 * integers())
    np.testing.assert_allclose(nifti.read(series, 1).affine, BY_HAND, atol=1e-6)
    first = np.moveaxis(voxels, -1, 0)
    path = write(tmp_path / "b.nrrd", first, LPS | {"space directions": np.roll(rows, 1, axis=0)})
    with pytest.raises(BadInputError, match=r"b\.nrrd: does not have the three axes of space"):
        nifti.read(path)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b"encoding: raw", b"encoding: hex", "hex encoding"),
        (b"type: int16", b"type: block", "type block"),
        (b"NRRD0", b"NRRX0", "is not an NRRD file"),
        (b"endian: little\n", b"", r"is not an NRRD file \(its header has no endian\)"),
        (b"endian: little", b"endian: middle", "has middle endian"),
        (b"endian: little\nencoding: raw", b"encoding: ascii", "has ascii encoding"),
        (b"sizes: 24 20 12", b"sizes: 24 20 13", "holds .* bytes, but its header promises"),
        (b"sizes: 24 20 12", b"sizes: 9999 9999 999", "the limit is"),
        (b"sizes: 24 20 12", b"sizes: 99999 20 12", "not of a scan"),
        (b"(0.90", b"(nan0", "is not an NRRD file|axes of space"),
        (b"encoding: raw", b"byte skip: 7\nencoding: raw", "bytes before its voxels"),
        (b"encoding: raw", b'space units: "um" "um" "um"\nencoding: raw', "in um, not mm"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_file(tmp_path, old, new, fault):
    path = write(tmp_path / "a.nrrd", encoding="raw")
    if old == b"(0.90":
        old = path.read_bytes().split(b"space directions: ")[1].split(b",")[0]
        new = b"(nan"
    change(path, old, new)
    with pytest.raises(BadInputError, match=rf"a\.nrrd: .*({fault})"):
        nifti.read(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ({}, "has no voxel sizes"),
        ({"spacings": [0.0, 0.8, 3.1]}, "impossible voxel sizes, got 0 x 0.8 x 3.1"),
        ({"spacings": [np.nan, 0.8, 3.1]}, "values that are no numbers"),
        (LPS | {"space directions": np.zeros((3, 3))}, "is zero"),
        (LPS | {"space directions": np.diag([0.9, 0, 3.1])}, "impossible voxel sizes"),
        (LPS | {"space origin": [np.nan, 0, 0]}, "values that are no numbers"),
    ],
)
def test_impossible_places_are_named(tmp_path, header, fault):
    path = write(tmp_path / "a.nrrd", header=header)
    with pytest.raises(BadInputError, match=rf"a\.nrrd: .*{fault}"):
        nifti.read_geometry(path)


def test_damaged_gzip_and_missing_voxels_are_named(tmp_path):
    path = write(tmp_path / "a.nrrd", encoding="gzip")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(BadInputError, match=r"a\.nrrd: ends in the middle of its gzip data"):
        nifti.read(path)
    path = write(tmp_path / "b.nhdr", encoding="raw")
    (tmp_path / "b.raw").unlink()
    with pytest.raises(BadInputError, match=r"b\.nhdr: has its voxels in b\.raw, which is not"):
        nifti.read(path)


def test_without_pynrrd_it_is_said_what_to_install(tmp_path, monkeypatch):
    write(tmp_path / "a.nrrd")

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(ours.importlib, "import_module", absent)
    with pytest.raises(EnvironmentFault, match=r"pynrrd.*srmri-tf\[nrrd\]"):
        find([tmp_path])
