import h5py
import numpy as np
import pytest

from data_prep.errors import BadInputError
from data_prep.kspace import Degradation, zero_filled
from data_prep.prepare.pairs import slice_pairs
from data_prep.scans import fastmri
from data_prep.scans.sources import find, read, slice_layout
from tests.data_prep.phantoms import phantom

HEADER = b"""<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>32</x><y>24</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>20</x><y>16</y><z>1</z></matrixSize>
<fieldOfView_mm><x>10.0</x><y>12.0</y><z>4.5</z></fieldOfView_mm></reconSpace>
</encoding></ismrmrdHeader>"""


def images(shape=(3, 32, 24)) -> np.ndarray:
    return np.ascontiguousarray(phantom(shape[::-1]).T) / 1000


def kspace_of(pictures: np.ndarray) -> np.ndarray:
    axes = (-2, -1)
    shifted = np.fft.fft2(np.fft.ifftshift(pictures, axes=axes), norm="ortho")
    return np.fft.fftshift(shifted, axes=axes).astype(np.complex64)


def make(path, attributes=None, **data):
    with h5py.File(path, "w") as file:
        for name, values in data.items():
            file[name] = values
        file.attrs.update(attributes or {})
    return path


def test_reconstructions_are_taken_as_they_are(tmp_path):
    path = make(tmp_path / "a.h5", reconstruction_rss=images(), kspace=np.zeros((3, 4, 8, 8), "c8"))
    image = fastmri.read(path, "kspace")  # several coils, so not the k-space
    np.testing.assert_array_equal(image.images, images())
    assert image.kspace is None
    assert slice_layout(path, "auto", "kspace") == ("acquired", (3, 32, 24))
    volume = read(path, "acquired", "kspace")
    np.testing.assert_array_equal(volume.images, images())


def test_measured_kspace_is_reconstructed_and_cut_to_the_middle(tmp_path):
    full = images()
    path = make(
        tmp_path / "a.h5", kspace=kspace_of(full), reconstruction_rss=np.ones((3, 20, 16), "f4")
    )
    image = fastmri.read(path, "kspace")
    np.testing.assert_allclose(image.images, full[:, 6:26, 4:20], atol=1e-5)
    assert fastmri.read_shape(path, "kspace") == (3, 20, 16)
    np.testing.assert_array_equal(fastmri.read(path, "rss").images, 1)


def test_the_degradation_acts_on_the_measured_kspace(tmp_path):
    # A phase over the image: the measured k-space is not that of the magnitude.
    full = images()
    phase = np.exp(1j * np.linspace(0, 3, 24))[None, None, :]
    path = make(tmp_path / "a.h5", kspace=kspace_of(full * phase))
    pairs = slice_pairs(read(path, "acquired", "kspace"), Degradation(), path)
    low, high = pairs.at(np.arange(3))
    np.testing.assert_allclose(high * pairs.scale, full, atol=1e-5)
    spectrum = kspace_of(full * phase)
    mask = np.zeros((32, 24))
    mask[8:24, 6:18] = 1
    axes = (-2, -1)
    expected = np.fft.fftshift(
        np.fft.ifft2(np.fft.ifftshift(spectrum * mask, axes=axes), norm="ortho"), axes=axes
    )
    np.testing.assert_allclose(low * pairs.scale, np.abs(expected), atol=1e-5)
    assert np.abs(low - zero_filled(high, Degradation())).max() > 1e-3


@pytest.mark.parametrize(
    ("lr", "fault"), [("real", "its real part is no image"), ("coarse", "are not made")]
)
def test_only_the_magnitude_of_a_measured_image_is_taken(tmp_path, lr, fault):
    path = make(tmp_path / "a.h5", kspace=kspace_of(images()))
    volume = read(path, "acquired", "kspace")
    with pytest.raises(BadInputError, match=fault):
        slice_pairs(volume, Degradation(lr=lr), path)


def test_slices_without_an_orientation_cannot_be_cut_otherwise(tmp_path):
    path = make(tmp_path / "a.h5", reconstruction_rss=images())
    assert slice_layout(path, "axial", "rss").plane == "acquired"
    with pytest.raises(BadInputError, match="cannot be cut into coronal slices"):
        slice_layout(path, "coronal", "rss")


def test_the_scanners_header_gives_matrix_and_spacing(tmp_path):
    path = make(tmp_path / "a.h5", kspace=kspace_of(images()), ismrmrd_header=HEADER)
    image = fastmri.read(path, "kspace")
    assert image.images.shape == (3, 20, 16)
    assert image.spacing == (0.5, 0.75, 4.5)


@pytest.mark.parametrize("header", [b"<broken", b"<!DOCTYPE x><x/>", b"<x/>", HEADER[:300]])
def test_a_useless_header_is_ignored(tmp_path, header):
    path = make(tmp_path / "a.h5", kspace=kspace_of(images()), ismrmrd_header=header)
    image = fastmri.read(path, "kspace")
    assert image.images.shape == (3, 32, 24)
    assert image.spacing == (1.0, 1.0, 1.0)


TEXTS = {
    "text": str,
    "bytes": lambda text: np.bytes_(text.encode()),
    "array of one text": lambda text: np.array([text], h5py.string_dtype()),
    "array of bytes": lambda text: np.array([[text.encode()]]),
}


@pytest.mark.parametrize("held", TEXTS)
def test_text_is_read_however_it_is_held(tmp_path, held):
    as_held = TEXTS[held]
    attributes = {"patient_id": as_held("abc"), "acquisition": as_held("CORPD_FBK")}
    path = make(
        tmp_path / "a.h5",
        attributes,
        kspace=kspace_of(images()),
        ismrmrd_header=as_held(HEADER.decode()),
    )
    assert fastmri.read_labels(path) == ("abc", "CORPD_FBK")
    assert fastmri.read(path, "kspace").spacing == (0.5, 0.75, 4.5)
    assert fastmri.read_gaps(path) == []


def test_what_is_missing_is_said(tmp_path):
    attributes = {"patient_id": h5py.Empty("S1"), "acquisition": h5py.Empty("f4")}
    empty = make(
        tmp_path / "a.h5",
        attributes,
        kspace=kspace_of(images()),
        ismrmrd_header=h5py.Empty("S1"),
    )
    bare = make(tmp_path / "b.h5", kspace=kspace_of(images()))
    for path in (empty, bare):
        assert fastmri.read_labels(path) == ("", "")
        assert fastmri.read(path, "kspace").spacing == (1, 1, 1)
        told = []
        slice_layout(path, "auto", "kspace", told.append)
        (line,) = told
        assert line.startswith(f"{path}: does not say whose it is")
        assert "its contrast" in line
        assert "voxel sizes" in line
    assert [scan.subject for scan in find([tmp_path]).scans] == ["a", "b"]


def test_files_of_one_patient_are_one_subject(tmp_path):
    for name in ("file1", "file2"):
        make(
            tmp_path / f"{name}.h5",
            {"patient_id": "abc", "acquisition": "CORPD_FBK"},
            reconstruction_rss=images(),
        )
    scans = find([tmp_path]).scans
    assert [(scan.subject, scan.session, scan.modality) for scan in scans] == [
        ("abc", "file1", "CORPD_FBK"),
        ("abc", "file2", "CORPD_FBK"),
    ]
    assert slice_layout(scans[0].path, "auto", "kspace").shape == (3, 32, 24)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({}, "holds neither reconstruction_rss nor single-coil kspace, got nothing"),
        ({"kspace": np.zeros((2, 3, 4, 5), "c8")}, "got kspace"),
        ({"kspace": np.ones((2, 8, 8), "c8"), "mask": np.ones(8)}, "undersampled"),
        ({"kspace": np.ones((2, 8, 8), "f4")}, "of shape (2, 8, 8) and type float32"),
        ({"reconstruction_rss": np.ones((8, 8), "f4")}, "of shape (8, 8)"),
        ({"reconstruction_rss": np.ones((0, 8, 8), "f4")}, "of shape (0, 8, 8)"),
        ({"reconstruction_rss": np.full((2, 8, 8), np.nan, "f4")}, "NaN or infinite"),
        ({"kspace": np.full((2, 8, 8), np.nan, "c8")}, "NaN or infinite"),
        ({"kspace": np.pad(np.full((2, 1, 1), 3e38, "c8"), (0, 7))}, "too large for float32"),
        ({"kspace": np.full((2, 8, 8), 1e300, "c16")}, "too large for float32"),
        ({"reconstruction_rss": np.full((2, 8, 8), 1e300)}, "too large for float32"),
    ],
)
def test_unusable_files_are_refused(tmp_path, data, fault):
    path = make(tmp_path / "a.h5", **data)
    with pytest.raises(BadInputError) as caught:
        fastmri.read(path, "kspace")
    assert fault in caught.value.fault
    assert caught.value.path == path


def test_damaged_files_are_refused(tmp_path):
    good = make(tmp_path / "a.h5", reconstruction_rss=images((8, 64, 64))).read_bytes()
    for content in (b"", b"text", good[: len(good) // 2], b"\0" * 4000):
        path = tmp_path / "bad.h5"
        path.write_bytes(content)
        with pytest.raises(BadInputError, match="not a readable HDF5 file"):
            fastmri.read(path, "kspace")
    with pytest.raises(BadInputError, match="does not exist"):
        fastmri.read(tmp_path / "none.h5", "kspace")


def test_damaged_types_are_refused(tmp_path):
    times = tmp_path / "times.h5"
    with h5py.File(times, "w") as file:
        space = h5py.h5s.create_simple((2, 8, 8))
        h5py.h5d.create(file.id, fastmri.RSS.encode(), h5py.h5t.UNIX_D32LE, space)
    biased = make(tmp_path / "biased.h5", reconstruction_rss=images())
    content = biased.read_bytes()
    of_exponents = b"\x17\x08\x00\x17\x7f\x00"
    assert of_exponents in content
    biased.write_bytes(content.replace(of_exponents, of_exponents[:-1] + b"\xff"))
    for path in (times, biased):
        with pytest.raises(BadInputError, match="not a readable HDF5 file"):
            fastmri.read(path, "kspace")


def test_an_absurd_data_set_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "bomb.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "reconstruction_rss", (4000, 4000, 4000), "f4", chunks=(1, 400, 400), compression="gzip"
        )
    with pytest.raises(BadInputError, match="absurd"):
        fastmri.read(path, "rss")
