"""How much of k-space is filled, on heads whose measurement is known."""

import numpy as np
import pytest

from data_prep.kspace import Degradation, reconstruct
from data_prep.prepare.pairs import slice_pairs
from data_prep.scans import coverage, fastmri
from data_prep.scans.coverage import Coverage
from data_prep.scans.orientation import Volume
from tests.data_prep.phantoms import phantom
from tests.data_prep.scans.test_fastmri import kspace_of, make

SIDE = 192


def head(side=SIDE, seed=0) -> np.ndarray:
    """A head of ellipses with edges at every scale, about 0.5."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    inside = (columns / 0.7) ** 2 + (rows / 0.85) ** 2 < 1
    image = 0.5 * inside
    for _ in range(60):
        (x, y), (a, b), turn = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.02, 0.25, 2), rng.random()
        along = (columns - x) * np.cos(3 * turn) + (rows - y) * np.sin(3 * turn)
        across = (rows - y) * np.cos(3 * turn) - (columns - x) * np.sin(3 * turn)
        part = ((along / a) ** 2 + (across / b) ** 2 < 1) & inside
        image[part] += rng.uniform(-0.15, 0.3)
    return np.maximum(image, 0)


def frequencies(side=SIDE) -> np.ndarray:
    """Of centred k-space, as fractions of Nyquist."""
    return (np.arange(side) - side // 2) / (side / 2)


R, C = frequencies()[:, None], frequencies()[None, :]
MASKS = {
    "whole": (np.ones((SIDE, SIDE), bool), (1, 1)),
    "a box": ((abs(R) <= 1) & (abs(C) <= 0.7), (1, 0.7)),
    "a small box": ((abs(R) <= 0.5) & (abs(C) <= 0.5), (0.5, 0.5)),
    "an ellipse": ((R / 0.8) ** 2 + (C / 0.6) ** 2 <= 1, (0.8, 0.6)),
    "a circle up to Nyquist": (R**2 + C**2 <= 1, (1, 1)),
    "partial Fourier of rows": ((R >= -0.25) & (abs(C) <= 0.7), (1, 0.7)),
    "partial Fourier of columns": ((abs(R) <= 0.8) & (C >= -0.2) & (C <= 0.75), (0.8, 0.75)),
}


def scan(mask, noise: float, filtered: float = 0.0) -> np.ndarray:
    """Magnitudes ``(3, SIDE, SIDE)`` as a scanner stores them: integers of a few hundred."""
    rng = np.random.default_rng(1)
    phase = np.exp(0.5j * (R + C**2))
    images = []
    for seed in range(3):
        spectrum = np.fft.fftshift(np.fft.fft2(head(seed=seed) * phase))
        noises = rng.normal(size=(2, SIDE, SIDE))
        spectrum = spectrum + noise * SIDE * (noises[0] + 1j * noises[1])
        window = 1 - filtered * np.sin(np.pi / 2 * np.minimum(abs(C) / 0.7, 1)) ** 2
        images.append(np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum * mask * window))))
    return np.rint(1000 * np.array(images)).astype(np.float32)


@pytest.mark.parametrize("noise", [0, 0.003, 0.03, 0.08])
@pytest.mark.parametrize("kind", MASKS)
def test_the_measured_part_is_found(kind, noise):
    mask, expected = MASKS[kind]
    found = coverage.measure(Volume(scan(mask, noise), (1, 1, 3), ""))
    np.testing.assert_allclose(found, expected, atol=0.045)
    assert (min(found) >= coverage.WHOLE) == (expected == (1, 1))


def test_a_filter_does_not_hide_the_edge():
    mask, expected = MASKS["a box"]
    found = coverage.measure(Volume(scan(mask, 0.01, filtered=0.8), (1, 1, 3), ""))
    np.testing.assert_allclose(found, expected, atol=0.06)


@pytest.mark.parametrize("images", [np.zeros((3, 80, 90)), np.ones((1, 80, 90))])
def test_nothing_to_see_is_nothing_to_crop(images):
    assert coverage.measure(Volume(images.astype(np.float32), (1, 1, 3), "")) == (1, 1)


def test_short_axes_are_taken_for_measured():
    images = scan(MASKS["a small box"][0], 0.01)[:, ::4]
    assert coverage.measure(Volume(images, (1, 1, 3), "")).rows == 1


def test_cropping_gives_what_was_measured_with_its_field_of_view():
    mask, _ = MASKS["a small box"]
    images = scan(mask, 0.01)
    volume = Volume(images, (0.5, 0.6, 3.0), "digest")
    smaller = coverage.acquired(volume, Coverage(1.0, 0.5))
    assert smaller.images.shape == (3, SIDE, SIDE // 2)
    assert (smaller.spacing, smaller.sha256) == ((0.5, 1.2, 3.0), "digest")
    # Every second pixel is where it was: band-limited images lose nothing.
    np.testing.assert_allclose(smaller.images, images[:, :, ::2], atol=0.06 * images.max())
    assert coverage.measure(smaller).columns == 1
    assert coverage.acquired(volume, Coverage(1.0, 0.99)) is volume


@pytest.mark.parametrize("shape", [(7, 9), (256, 256), (347, 101)])
def test_the_matrix_is_even_where_it_is_smaller(shape):
    rows, columns = Coverage(0.71, 1.0).matrix(shape)
    assert columns == shape[1]
    assert rows % 2 == 0
    assert 0 <= rows - 0.71 * shape[0] < 2


@pytest.mark.parametrize("rows", [(0, 64), (12, 52), (10, 40), (1, 64)])
def test_measured_kspace_says_itself_what_is_filled(rows):
    kspace = np.zeros((2, 64, 48), np.complex64)
    noise = np.random.default_rng(0).normal(size=(2, 2, rows[1] - rows[0], 48))
    kspace[:, slice(*rows)] = noise[0] + 1j * noise[1]
    images = reconstruct(kspace)[:, 8:56]
    volume = Volume(images, (1, 1, 3), "", kspace)
    found = coverage.measure(volume)
    furthest = max(32 - rows[0], rows[1] - 1 - 32)
    assert found == (min(1, (2 * furthest + 1) / 64), 1)
    smaller = coverage.acquired(volume, found)
    if not (min(found) >= coverage.WHOLE):
        lines = found.matrix((64, 48))[0]
        assert smaller.kspace.shape == (2, lines, 48)
        assert smaller.spacing == (round(64 / lines, 5), 1, 3)
        assert smaller.images.shape == (2, found.matrix((48, 48))[0], 48)
        energy = np.square(np.abs(kspace)).sum() * lines / 64
        assert np.square(np.abs(smaller.kspace)).sum() == pytest.approx(energy, rel=1e-5)


@pytest.mark.parametrize("columns", [79, 80, 81])
def test_low_and_high_resolution_of_measured_kspace_lie_on_one_grid(tmp_path, columns):
    images = np.ascontiguousarray(phantom((96, 128, 3)).T)
    kspace = kspace_of(images)
    kspace[:, :40] = kspace[:, 88:] = 0
    reconstructed = fastmri.crop(images, (128, columns))
    path = make(tmp_path / "a.h5", kspace=kspace, reconstruction_rss=reconstructed)
    volume = fastmri.read(path, "kspace")
    smaller = coverage.acquired(volume, coverage.measure(volume))
    assert smaller.images.shape[1] < 128
    low, high = slice_pairs(smaller, Degradation(keep=1), path).at(np.arange(3))
    np.testing.assert_allclose(low, high, atol=1e-5)
