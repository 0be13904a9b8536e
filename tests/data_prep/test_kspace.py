import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample

from data_prep.kspace import (
    Degradation,
    band_limited,
    consistent,
    consistent_with_scan,
    downsampled,
    kept_box,
    magnitude,
    reconstruct,
    reconstruct_kept,
    upsampled,
    zero_filled,
)

HALF = Degradation()
COARSE = Degradation(lr="coarse")


def reference(image: np.ndarray, degradation: Degradation) -> np.ndarray:
    """The definition, in double precision: FFT, mask, inverse FFT."""
    rows, columns = kept_box(image.shape, degradation)
    spectrum = np.fft.fftshift(np.fft.fft2(image.astype(np.float64)))
    mask = np.zeros(image.shape)
    mask[rows, columns] = 1
    filled = np.fft.ifft2(np.fft.ifftshift(spectrum * mask))
    return np.abs(filled) if degradation.lr == "magnitude" else filled.real


@pytest.mark.parametrize(
    ("size", "degradation", "window"),
    [
        (256, Degradation(keep=0.25, keep_by="area"), (64, 192)),
        (256, Degradation(keep=0.25, keep_by="axis"), (96, 160)),
        (64, HALF, (16, 48)),
        (320, HALF, (80, 240)),
        (255, HALF, (64, 191)),  # DC at 127: 63 on either side
        (5, HALF, (1, 4)),  # 2.5 is as near to 2 as to 3: the odd one is symmetric around 2
        (3, HALF, (1, 2)),
        (2, HALF, (1, 2)),  # DC alone
        (1, HALF, (0, 1)),
        (10, Degradation(keep=0.5, keep_by="axis"), (3, 8)),  # 5 around DC at 5
        (10, Degradation(keep=0.01, keep_by="axis"), (5, 6)),
        (7, Degradation(keep=1), (0, 7)),
        (8, Degradation(keep=1), (0, 8)),
    ],
)
def test_the_kept_box_by_hand(size, degradation, window):
    rows, columns = kept_box((size, size), degradation)
    assert (rows.start, rows.stop) == window
    assert columns == rows


def test_a_quarter_by_area_of_the_papers_matrix_is_a_quarter():
    rows, columns = kept_box((256, 256), HALF)
    assert (rows.stop - rows.start) * (columns.stop - columns.start) / 256**2 == 0.25
    rows, columns = kept_box((256, 256), Degradation(keep_by="axis"))
    assert (rows.stop - rows.start) * (columns.stop - columns.start) / 256**2 == 0.0625


@given(size=st.integers(1, 600), keep=st.floats(0.001, 1), by=st.sampled_from(["area", "axis"]))
def test_the_box_holds_dc_and_is_as_centred_as_can_be(size, keep, by):
    kept, _ = kept_box((size, size), Degradation(keep=keep, keep_by=by))
    below, above = size // 2 - kept.start, kept.stop - 1 - size // 2
    assert 0 <= kept.start < kept.stop <= size
    assert below >= 0
    assert above >= 0
    assert below - above in (0, 1)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    keep=st.floats(0.01, 1),
    by=st.sampled_from(["area", "axis"]),
    lr=st.sampled_from(["magnitude", "real"]),
    seed=st.integers(0, 99),
)
def test_zero_filling_is_the_masked_fft(height, width, keep, by, lr, seed):
    degradation = Degradation(keep=keep, keep_by=by, lr=lr)
    image = np.random.default_rng(seed).random((height, width))
    result = zero_filled(image, degradation)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, reference(image, degradation), atol=3e-6)


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 20), columns=st.integers(1, 20), seed=st.integers(0, 99))
def test_coarse_magnitudes_are_scipys_resampled_ones(rows, columns, seed):
    image = np.random.default_rng(seed).random((2 * rows, 2 * columns))
    coarse = np.abs(resample(resample(image, rows, axis=0), columns, axis=1))
    fine = np.abs(resample(resample(coarse, 2 * rows, axis=0), 2 * columns, axis=1))
    result = zero_filled(image, COARSE)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, fine, atol=3e-6)
    np.testing.assert_allclose(result[::2, ::2], coarse, atol=3e-6)


def test_coarse_magnitudes_fold_up_before_they_are_zero_filled():
    # By hand: of 8 points of 0.5 - cos(x) 4 are left, -0.5, 0.5, 1.5 and 0.5; their magnitudes
    # 0.5, 0.5, 1.5 and 0.5 are those of 0.75 - 0.5 cos(x) + 0.25 cos(2 x).
    phase = 2 * np.pi * np.arange(8) / 8
    image = np.tile(0.5 - np.cos(phase), (4, 1))
    expected = np.abs(0.75 - 0.5 * np.cos(phase) + 0.25 * np.cos(2 * phase))
    np.testing.assert_allclose(zero_filled(image, COARSE)[0], expected, atol=1e-6)


def test_a_stack_is_degraded_slice_by_slice():
    images = np.random.default_rng(1).random((2, 3, 17, 22)).astype(np.float32)
    result = zero_filled(images, HALF)
    assert result.shape == images.shape
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(result[i, j], reference(images[i, j], HALF), atol=2e-6)


def test_views_are_accepted_and_left_alone():
    volume = np.random.default_rng(2).random((9, 16, 12)).astype(np.float32)
    before = volume.copy()
    view = volume.transpose(2, 0, 1)[:, ::-1, ::-1]
    np.testing.assert_array_equal(zero_filled(view, HALF), zero_filled(view.copy(), HALF))
    np.testing.assert_array_equal(volume, before)


def test_a_wave_inside_the_box_stays_and_one_outside_goes():
    # By hand: on 16 points the kept frequencies are -4 .. 3, so cos(2 pi 3 x / 16) passes
    # whole and cos(2 pi 6 x / 16) leaves only the mean.
    x = np.arange(16)
    inside = 2 + np.cos(2 * np.pi * 3 * x / 16)[None, :] * np.ones((16, 1))
    outside = 2 + np.cos(2 * np.pi * 6 * x / 16)[None, :] * np.ones((16, 1))
    np.testing.assert_allclose(zero_filled(inside, HALF), inside, atol=1e-5)
    np.testing.assert_allclose(zero_filled(outside, HALF), 2 * np.ones((16, 16)), atol=1e-5)


def test_the_edge_frequency_is_kept_on_one_side_only():
    # cos at frequency 4 is half e(+4) and half e(-4); only -4 is kept, so the image is
    # 2 + e(-4)/2: its real part is 2 + cos/2, its magnitude sqrt((2 + cos/2)^2 + (sin/2)^2).
    phase = 2 * np.pi * 4 * np.arange(16) / 16
    image = np.tile(2 + np.cos(phase), (16, 1))
    real = zero_filled(image, Degradation(lr="real"))
    np.testing.assert_allclose(real[0], 2 + np.cos(phase) / 2, atol=1e-5)
    expected = np.hypot(2 + np.cos(phase) / 2, np.sin(phase) / 2)
    np.testing.assert_allclose(zero_filled(image, HALF)[0], expected, atol=1e-5)


def test_keeping_everything_changes_nothing():
    image = np.random.default_rng(3).random((15, 18)).astype(np.float32)
    np.testing.assert_allclose(zero_filled(image, Degradation(keep=1)), image, atol=1e-6)


def test_magnitude():
    np.testing.assert_array_equal(magnitude(np.array([3 + 4j, -2, 1j], np.complex64)), [5, 2, 1])


@pytest.mark.parametrize("shape", [(16, 12), (15, 11)])
def test_measured_kspace_gives_the_image_it_was_made_from(shape):
    image = np.random.default_rng(4).random((2, *shape))
    axes = (-2, -1)
    kspace = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(image, axes=axes), norm="ortho"), axes=axes
    )
    np.testing.assert_allclose(reconstruct(kspace), image, atol=1e-5)
    np.testing.assert_allclose(reconstruct_kept(kspace, HALF), zero_filled(image, HALF), atol=1e-5)
    real = Degradation(lr="real")
    np.testing.assert_allclose(reconstruct_kept(kspace, real), zero_filled(image, real), atol=1e-5)


def interpolated(image: np.ndarray) -> np.ndarray:
    """Twice the matrix by the definition: the trigonometric polynomial, term by term."""
    for axis in (0, 1):
        n = image.shape[axis]
        spectrum = np.fft.fft(image, axis=axis)
        where = np.arange(2 * n) / 2
        terms = []
        for k in range(n):
            signed = k if k < n / 2 else k - n
            wave = np.exp(2j * np.pi * signed * where / n)
            # At half the sampling rate both signs fit the samples: the real mean of both.
            wave = wave.real if 2 * k == n else wave
            terms.append(np.multiply.outer(np.take(spectrum, k, axis), wave))
        image = np.moveaxis(sum(terms) / n, -1, axis)
    return image.real


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 17), width=st.integers(1, 17), seed=st.integers(0, 99))
def test_upsampling_is_trigonometric_interpolation(height, width, seed):
    image = np.random.default_rng(seed).random((height, width))
    fine = upsampled(image)
    assert fine.dtype == np.float32
    np.testing.assert_allclose(fine, interpolated(image), atol=3e-6)
    np.testing.assert_allclose(fine[::2, ::2], image, atol=3e-6)  # no pixel moves


def test_upsampling_is_zero_filling_of_the_centred_spectrum():
    # Odd sides have no Nyquist line, so this is padding and nothing else.
    image = np.random.default_rng(5).random((9, 13))
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    padded = np.zeros((18, 26), complex)
    padded[9 - 4 : 9 + 5, 13 - 6 : 13 + 7] = spectrum
    expected = 4 * np.fft.ifft2(np.fft.ifftshift(padded))
    np.testing.assert_allclose(expected.imag, 0, atol=1e-12)
    np.testing.assert_allclose(upsampled(image), expected.real, atol=2e-6)


def test_upsampling_a_stack_and_a_flat_image():
    images = np.random.default_rng(6).random((2, 3, 8, 7)).astype(np.float32)
    stack = upsampled(images)
    assert stack.shape == (2, 3, 16, 14)
    np.testing.assert_allclose(stack[1, 2], upsampled(images[1, 2]), atol=1e-6)
    np.testing.assert_allclose(upsampled(np.full((6, 5), 7.0)), 7, atol=1e-5)


def inside(shape: tuple[int, int], degradation: Degradation) -> np.ndarray:
    """Where a centred spectrum is measured together with its mirror image."""
    box = kept_box(shape, degradation)
    frequencies = [np.arange(n) - n // 2 for n in shape]
    kept = [
        np.isin(f, f[part]) & np.isin(np.where(2 * f == -n, f, -f), f[part])
        for f, part, n in zip(frequencies, box, shape, strict=True)
    ]
    return np.logical_and.outer(*kept)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    keep=st.floats(0.01, 1),
    by=st.sampled_from(["area", "axis"]),
    seed=st.integers(0, 99),
)
def test_consistency_replaces_the_samples_inside_the_box_only(height, width, keep, by, seed):
    degradation = Degradation(keep=keep, keep_by=by, lr="real")
    enhanced, low = np.random.default_rng(seed).random((2, height, width))
    result = consistent(enhanced, low, degradation)
    assert result.dtype == np.float32
    found, theirs, measured = (np.fft.fftshift(np.fft.fft2(x)) for x in (result, enhanced, low))
    expected = np.where(inside((height, width), degradation), measured, theirs)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(consistent(result, low, degradation), result, atol=2e-6)


def test_a_magnitudes_signs_are_those_of_the_image():
    """A bright disc in air rings below zero; its magnitude alone does not say where."""
    rows, columns = np.mgrid[-1:1:62j, -1:1:58j]  # odd halves: no unpaired line
    truth = (rows**2 + columns**2 < 0.3).astype(np.float32)
    magnitudes = zero_filled(truth, Degradation())
    assert np.abs(consistent(truth, magnitudes, Degradation(lr="real")) - truth).max() > 0.02
    np.testing.assert_allclose(consistent(truth, magnitudes), truth, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 14), width=st.integers(1, 14), seed=st.integers(0, 99))
def test_downsampled_adds_up_what_half_the_matrix_cannot_tell_apart(height, width, seed):
    """Every other sample of the image without its higher frequencies, by NumPy."""
    fine = np.random.default_rng(seed).normal(size=(2 * height, 2 * width))
    frequencies = [np.abs(np.fft.fftfreq(2 * n, 1 / (2 * n))) for n in (height, width)]
    kept = np.logical_and.outer(frequencies[0] <= height / 2, frequencies[1] <= width / 2)
    expected = np.fft.ifft2(np.where(kept, np.fft.fft2(fine), 0)).real[::2, ::2]
    found = downsampled(fine)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 14), width=st.integers(1, 14), seed=st.integers(0, 99))
def test_the_scan_comes_back_from_an_image_made_consistent_with_it(height, width, seed):
    rng = np.random.default_rng(seed)
    scan = rng.random((height, width)) - 0.2  # resampled magnitudes go below zero
    np.testing.assert_allclose(downsampled(upsampled(scan)), scan, atol=1e-5)
    enhanced = rng.normal(size=(2 * height, 2 * width))
    result = consistent_with_scan(enhanced, scan)
    found = downsampled(result)
    np.testing.assert_allclose(np.abs(found), np.abs(scan), atol=1e-5)
    np.testing.assert_allclose(found[scan < 0], scan[scan < 0], atol=1e-5)
    above = np.abs(np.fft.fftfreq(2 * height, 1 / (2 * height))) > height / 2
    np.testing.assert_allclose(np.fft.fft2(result)[above], np.fft.fft2(enhanced)[above], atol=1e-3)
    np.testing.assert_allclose(
        consistent_with_scan(enhanced, scan, Degradation(lr="real")),
        enhanced + upsampled(scan - downsampled(enhanced)),
        atol=1e-5,
    )


@given(st.integers(6, 40), st.integers(6, 40), st.integers(0, 99))
def test_what_was_band_limited_stays_and_what_was_not_becomes_so(height, width, seed):
    real = Degradation(lr="real")
    image = np.random.default_rng(seed).standard_normal((height, width)).astype(np.float32)
    low = zero_filled(image, real)
    np.testing.assert_allclose(band_limited(low, real), low, atol=1e-5)
    rows, columns = kept_box(image.shape, real)
    down, across = (np.abs(np.fft.fftfreq(n, 1 / n)) for n in image.shape)
    outside = np.logical_or.outer(
        down > height // 2 - rows.start, across > width // 2 - columns.start
    )
    expected = np.fft.ifft2(np.where(outside, 0, np.fft.fft2(image.astype(float)))).real
    np.testing.assert_allclose(band_limited(image, real), expected, atol=1e-5)


def test_signs_that_a_magnitude_has_lost_are_estimated():
    # One wave of a frequency that is kept, a fifth of which is below zero.
    wave = 0.8 + np.cos(2 * np.pi * 5 * np.arange(32) / 32)
    magnitudes = np.abs(np.tile(wave, (8, 1))).astype(np.float32)
    without_signs = np.abs(band_limited(magnitudes, Degradation(lr="real")))
    errors = [
        np.abs(each - magnitudes) for each in (without_signs, band_limited(magnitudes, COARSE))
    ]
    assert errors[0].max() > 0.15
    assert errors[1].max() < 0.5 * errors[0].max()


def test_what_is_no_magnitude_of_a_band_limited_image_becomes_one():
    rows, columns = np.mgrid[-1:1:64j, -1:1:64j]
    masked = (np.hypot(rows, columns) < 0.4).astype(np.float32)
    smooth = band_limited(masked, COARSE)
    assert (smooth >= 0).all()
    assert np.abs(smooth - masked).max() > 0.2
