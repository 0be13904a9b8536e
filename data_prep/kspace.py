"""Low resolution as a scanner would make it: only the centre of k-space is kept.

Everything here is a pure function over arrays ``(..., H, W)``: rows, then columns. scipy.fft,
which takes as long to import as a volume takes to prepare, is imported by who transforms.
"""

import math
from typing import Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

FACTOR: Final = 2
"""How many times as fine the whole grid is as that of half of k-space, along either axis."""


class Degradation(BaseModel):
    """How a low-resolution image was made from a high-resolution one (docs/fidelity.md).

    Args:
        keep: Fraction of k-space kept, in (0, 1].
        keep_by: ``area``: the box holds that fraction of k-space; ``axis``: of each axis.
        lr: ``magnitude`` of the inverse FFT at the whole matrix, as the paper has it, or its
            ``real`` part; ``coarse``: the magnitude at half the matrix, which is what a scanner
            would store, zero-filled to the whole one, which is what `enhance` makes of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: float = Field(0.25, gt=0, le=1)
    keep_by: Literal["area", "axis"] = "area"
    lr: Literal["magnitude", "coarse", "real"] = "magnitude"

    @property
    def halves(self) -> bool:
        """Whether half of each axis of k-space is kept, so that `upsampled` fills in the rest."""
        return self.keep == (1 / FACTOR**2 if self.keep_by == "area" else 1 / FACTOR)

    @property
    def is_magnitude(self) -> bool:
        """Whether the image is a magnitude: what rang below zero has lost its sign."""
        return self.lr != "real"

    @model_validator(mode="after")
    def _coarse_is_half(self) -> Self:
        if self.lr == "coarse" and not self.halves:
            raise ValueError("lr coarse needs half of each axis kept: keep 0.25 by area")
        return self


_HALF = Degradation()

_SIGN_ROUNDS = 2
"""More change nothing that a network's output would show (0.01 dB)."""


def kept_box(shape: tuple[int, int], degradation: Degradation) -> tuple[slice, slice]:
    """The rows and columns of a centred k-space that are kept; DC is at index n // 2.

    By area each axis keeps the fraction ``sqrt(keep)``, by axis it keeps ``keep``. The width is
    the nearest whole number; between two equally near ones it is the odd one, which lies
    symmetrically around DC.

    Args:
        shape: Rows and columns of the matrix.
        degradation: How much is kept.

    Source: docs/fidelity.md; the paper keeps the central 25 % of k-space, [64, 192) of 256.
    """
    fraction = math.sqrt(degradation.keep) if degradation.keep_by == "area" else degradation.keep
    return _centred(shape[0], fraction), _centred(shape[1], fraction)


def zero_filled(images: np.ndarray, degradation: Degradation) -> np.ndarray:
    """Make low-resolution images: FFT, keep the central box, zero the rest, inverse FFT.

    Only the kept part of the spectrum is ever computed: the rows' transform is that of real
    numbers, and columns outside the box are dropped before the second axis is transformed.

    Args:
        images: ``(..., H, W)`` real, in any scale; for coarse magnitudes H and W are even.
        degradation: How much is kept, and which image is made of it.

    Returns:
        ``(..., H, W)`` float32 at the same matrix and in the same scale.

    Examples:
        What varies from pixel to pixel is cut away; the mean stays.

        >>> stripes = np.tile([0.0, 1.0], (8, 4))
        >>> zero_filled(stripes, Degradation())[0].round(3).tolist()
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    import scipy.fft

    images = np.asarray(images, np.float32)
    if degradation.lr == "coarse":
        return np.abs(upsampled(np.abs(downsampled(images))))
    height, width = images.shape[-2:]
    rows, columns = kept_box((height, width), degradation)
    below, above = width // 2 - columns.start, columns.stop - width // 2
    half = scipy.fft.rfft(images, axis=-1)  # frequencies 0, 1, ... of each row
    kept = np.empty((*images.shape[:-1], above + below), np.complex64)
    kept[..., :above] = half[..., :above]
    # A row of real numbers has a Hermitian spectrum: F(-k) is the conjugate of F(k).
    np.conjugate(half[..., below:0:-1], out=kept[..., above:])
    kept = scipy.fft.fft(kept, axis=-2, overwrite_x=True)
    low, high = _unshifted(rows, height)
    kept[..., low.stop : high.start, :] = 0
    kept = scipy.fft.ifft(kept, axis=-2, overwrite_x=True)
    filled = np.empty(images.shape, np.complex64)
    filled[..., :above] = kept[..., :above]
    filled[..., above : width - below] = 0
    filled[..., width - below :] = kept[..., above:]
    return _real_image(scipy.fft.ifft(filled, axis=-1, overwrite_x=True), degradation)


def reconstruct(kspace: np.ndarray) -> np.ndarray:
    """Magnitude images of measured, centred k-space (orthonormal inverse FFT).

    Args:
        kspace: ``(..., H, W)`` complex, DC at (H // 2, W // 2).

    Returns:
        ``(..., H, W)`` float32.
    """
    return magnitude(_centred_inverse(kspace))


def reconstruct_kept(kspace: np.ndarray, degradation: Degradation) -> np.ndarray:
    """What the scanner would have given had it measured only the central box.

    Args:
        kspace: ``(..., H, W)`` complex, DC at (H // 2, W // 2).
        degradation: How much is kept, and whether the magnitude or the real part is returned.

    Returns:
        ``(..., H, W)`` float32 in the scale of `reconstruct`.
    """
    rows, columns = kept_box((kspace.shape[-2], kspace.shape[-1]), degradation)
    kept = np.zeros(kspace.shape, np.complex64)
    kept[..., rows, columns] = kspace[..., rows, columns]
    return _real_image(_centred_inverse(kept), degradation)


def upsampled(images: np.ndarray) -> np.ndarray:
    """Zero-fill k-space to twice the matrix: the same field of view on a grid twice as fine.

    Pixel (2m, 2n) of the result is pixel (m, n) of the input, so (0, 0) stays where it is, the
    intensities are kept, and nothing is invented. The outermost (Nyquist) line of an even matrix
    stands for both signs of its frequency: half of it goes to either end, which keeps the image
    real.

    Args:
        images: ``(..., H, W)`` real, in any scale.

    Returns:
        ``(..., 2H, 2W)`` float32; truncated k-space rings, also below zero.
    """
    import scipy.fft

    images = np.asarray(images, np.float32)
    height, width = images.shape[-2:]
    half = scipy.fft.rfft(images, axis=-1)  # frequencies 0, 1, ... of each row
    if width % 2 == 0:
        half[..., -1] /= 2  # irfft adds the mirror image, the other half
    half = scipy.fft.fft(half, axis=-2, overwrite_x=True)
    tall = np.zeros((*half.shape[:-2], 2 * height, half.shape[-1]), np.complex64)
    above, below = (height + 1) // 2, (height - 1) // 2
    tall[..., :above, :] = half[..., :above, :]
    tall[..., 2 * height - below :, :] = half[..., height - below :, :]
    if height % 2 == 0:
        tall[..., above, :] = half[..., above, :] / 2
        tall[..., -above, :] = tall[..., above, :]
    tall = scipy.fft.ifft(tall, axis=-2, overwrite_x=True)
    fine = scipy.fft.irfft(tall, n=2 * width, axis=-1, overwrite_x=True)
    fine *= np.float32(4)  # the inverse transform divides by four times as many samples
    return fine


def downsampled(images: np.ndarray) -> np.ndarray:
    """What a scanner would measure of images at half the matrix: the inverse of `upsampled`.

    Args:
        images: ``(..., 2H, 2W)`` real, in any scale.

    Returns:
        ``(..., H, W)`` float32, not a magnitude: truncated k-space rings, also below zero.
    """
    return cropped(images, (images.shape[-2] // 2, images.shape[-1] // 2))


def cropped(images: np.ndarray, matrix: tuple[int, int]) -> np.ndarray:
    """Crop k-space to a smaller matrix: the same field of view on a coarser grid.

    Pixel (0, 0) stays where it is, and the intensities are kept. Of an even matrix the outermost
    line stands for both signs of its frequency: it holds the sum of the two.

    Args:
        images: ``(..., H, W)`` real, in any scale.
        matrix: Rows and columns to keep, at most H and W.

    Returns:
        ``(..., *matrix)`` float32, not a magnitude: truncated k-space rings, also below zero.

    Examples:
        >>> ramp = np.array([[0.0, 1.0, 2.0, 1.0]])
        >>> cropped(ramp, (1, 2)).tolist()
        [[0.0, 2.0]]
    """
    import scipy.fft

    images = np.asarray(images, np.float32)
    (height, width), (old_height, old_width) = matrix, images.shape[-2:]
    half = scipy.fft.rfft(images, axis=-1)[..., : width // 2 + 1]
    if width % 2 == 0 and width < old_width:
        half[..., -1] *= 2  # irfft takes this line once, but the images hold both its signs
    half = scipy.fft.fft(half, axis=-2, overwrite_x=True)
    if height < old_height:
        above, below = (height + 1) // 2, (height - 1) // 2
        short = np.empty((*half.shape[:-2], height, half.shape[-1]), np.complex64)
        short[..., :above, :] = half[..., :above, :]
        short[..., height - below :, :] = half[..., old_height - below :, :]
        if height % 2 == 0:
            short[..., above, :] = half[..., above, :] + half[..., -above, :]
        half = short
    half = scipy.fft.ifft(half, axis=-2, overwrite_x=True)
    coarse = scipy.fft.irfft(half, n=width, axis=-1, overwrite_x=True)
    # The inverse transform divides by fewer samples.
    coarse *= np.float32(height * width / (old_height * old_width))
    return coarse


def consistent(
    images: np.ndarray, measured: np.ndarray, degradation: Degradation = _HALF
) -> np.ndarray:
    """Put the measured samples of k-space back into images that a network has changed.

    Inside the kept box the result has the spectrum of ``measured``, outside it that of
    ``images``. A magnitude has lost its signs, and with them its spectrum: truncated k-space rings
    below zero in the background. They are taken from the images, cut to the kept box.

    An even box reaches one line further below DC than above. A real image holds that line's
    samples at half their strength, mixed with their unmeasured mirror image, so it is not put back.

    Args:
        images: ``(..., H, W)`` real.
        measured: ``(..., H, W)`` real, in the same scale: `zero_filled`.
        degradation: Decides the box, by default half of each axis, and whether ``measured`` is a
            magnitude.

    Returns:
        ``(..., H, W)`` float32.
    """
    images, measured = np.asarray(images, np.float32), np.asarray(measured, np.float32)
    if degradation.is_magnitude:
        measured = _with_signs(measured, _inside(images, degradation))
    return images + _inside(measured - images, degradation)


def consistent_with_scan(
    images: np.ndarray, scan: np.ndarray, degradation: Degradation = _HALF
) -> np.ndarray:
    """Put the samples that a scan was made of back into images of twice its matrix.

    ``downsampled`` of the result is the scan again, whose signs, if it is a magnitude, are taken
    from ``downsampled`` of the images. What is negative itself, as resampling may leave it, stays.

    Args:
        images: ``(..., 2H, 2W)`` real.
        scan: ``(..., H, W)`` real, in the same scale.
        degradation: Decides whether a scan is a magnitude.

    Returns:
        ``(..., 2H, 2W)`` float32; applied twice it gives the same.
    """
    low = downsampled(images)
    signed = _with_signs(scan, low) if degradation.is_magnitude else scan
    result = upsampled(signed - low)
    result += images
    return result


def band_limited(images: np.ndarray, degradation: Degradation) -> np.ndarray:
    """Images like these that have no k-space outside the kept box, or are magnitudes of such.

    A magnitude lacks the signs of what rang below zero, without which its spectrum is wider than
    the box. They are estimated in turns: cut to the box, take the signs of that, cut again.

    Args:
        images: ``(..., H, W)`` real, in any scale; magnitudes are not negative.
        degradation: Decides the box, and whether the images are magnitudes.

    Returns:
        ``(..., H, W)`` float32 in the same scale.

    Source: the alternating projections of Gerchberg and Saxton (1972) for phases, here signs.
    """
    images = np.asarray(images, np.float32)
    inside = _inside(images, degradation, unpaired=True)
    if not degradation.is_magnitude:
        return inside
    for _ in range(_SIGN_ROUNDS):
        inside = _inside(np.copysign(images, inside), degradation, unpaired=True)
    return np.abs(inside)


def _with_signs(magnitudes: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Magnitudes with the signs of images; what is negative already stays as it is."""
    signed = np.copysign(magnitudes, images)
    negative = magnitudes < 0
    if negative.any():
        signed[negative] = magnitudes[negative]
    return signed


def _inside(images: np.ndarray, degradation: Degradation, *, unpaired: bool = False) -> np.ndarray:
    """What of real images lies inside the kept box of k-space.

    Args:
        images: ``(..., H, W)`` float32.
        degradation: Decides the box.
        unpaired: Also the outermost line of an even box, whose mirror image lies outside.
    """
    import scipy.fft

    height, width = images.shape[-2:]
    rows, columns = (
        n // 2 - kept.start if unpaired else _reach(kept, n)
        for kept, n in zip(kept_box((height, width), degradation), (height, width), strict=True)
    )
    half = scipy.fft.rfft(images, axis=-1)
    half = scipy.fft.fft(half[..., : columns + 1], axis=-2, overwrite_x=True)
    half[..., rows + 1 : height - rows, :] = 0
    half = scipy.fft.ifft(half, axis=-2, overwrite_x=True)
    return scipy.fft.irfft(half, n=width, axis=-1, overwrite_x=True)


def magnitude(images: np.ndarray) -> np.ndarray:
    """Absolute value, float32.

    Not ``np.abs``: its vector code differs between processors in the last bit, and shards are
    to be the same bytes everywhere.
    """
    parts = np.ascontiguousarray(images, np.complex64).view(np.float32)
    squares = parts * parts  # real and imaginary parts side by side
    total = squares[..., ::2] + squares[..., 1::2]
    return np.sqrt(total, out=total)


def _real_image(images: np.ndarray, degradation: Degradation) -> np.ndarray:
    return magnitude(images) if degradation.is_magnitude else np.ascontiguousarray(images.real)


def _centred(size: int, fraction: float) -> slice:
    wide = fraction * size
    low = math.floor(wide)
    odd = low if low % 2 else low + 1
    kept = odd if abs(wide - low - 0.5) < 1e-9 else round(wide)
    kept = min(max(kept, 1), size)
    start = size // 2 - kept // 2
    return slice(start, start + kept)


def _reach(kept: slice, size: int) -> int:
    """The highest frequency that is kept with its mirror image."""
    whole = kept.stop - kept.start == size
    return size // 2 if whole else min(size // 2 - kept.start, kept.stop - 1 - size // 2)


def _unshifted(kept: slice, size: int) -> tuple[slice, slice]:
    """The same frequencies where the FFT puts them: from DC upwards, then the negative ones."""
    below, above = size // 2 - kept.start, kept.stop - size // 2
    return slice(0, above), slice(size - below, size)


def _centred_inverse(kspace: np.ndarray) -> np.ndarray:
    import scipy.fft

    axes = (-2, -1)
    shifted = scipy.fft.ifftshift(np.asarray(kspace, np.complex64), axes=axes)
    images = scipy.fft.ifft2(shifted, axes=axes, norm="ortho", overwrite_x=True)
    return scipy.fft.fftshift(images, axes=axes)
