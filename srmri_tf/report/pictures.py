"""Pictures of slices for pages: small images as data URIs, all of a slice on one scale."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from PIL import Image

from data_prep.kspace import Degradation, kept_box
from srmri_tf import metrics

ERROR_LEVELS = 16
SPECTRUM_SIDE = 128
SPECTRUM_DECADES = 5
SPECTRUM_LEVELS = 24
MARGIN = 4


#: Shades of grey, tried in turn until the pictures take no more than so many characters.
SHADES = (256, 96, 40, 20)


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice as several methods show it.

    Args:
        label: Which slice it is.
        images: ``(H, W)`` float32 by method, all in the scale in which the volume's maximum is 1.
        reference: The method that the others are compared with.
        box: First row, first column and side of the magnified box.
        reasons: Why it is shown.
        scores: PSNR and SSIM by method, where they are known.
        spacing: Of rows and of columns; only their ratio counts.
    """

    label: str
    images: Mapping[str, np.ndarray]
    reference: str
    box: tuple[int, int, int]
    reasons: Sequence[str] = ()
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    spacing: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Picture:
    """One method's pictures of one slice, as data URIs.

    Args:
        name: The method.
        image: The slice, cropped to the head.
        error: Absolute difference to the reference, on the page's colour scale; empty for itself.
        spectrum: Magnitude of k-space, logarithmic.
        psnr: dB on the whole slice; None where it is not known.
        ssim: On the whole slice; None where it is not known.
    """

    name: str
    image: str
    error: str
    spectrum: str
    psnr: float | None
    ssim: float | None


@dataclass(frozen=True)
class Panel:
    """One slice with all its pictures.

    Args:
        label: Which slice it is.
        reasons: Why it is shown.
        width: Columns of the cropped image.
        height: Rows of it.
        pixel_aspect: Width of a pixel over its height.
        box: First row, first column and side of the magnified box in the cropped image.
        kept: x, y, width and height of the kept box as fractions of the spectrum.
        pictures: One per method.
    """

    label: str
    reasons: Sequence[str]
    width: int
    height: int
    pixel_aspect: float
    box: tuple[int, int, int]
    kept: tuple[float, float, float, float]
    pictures: list[Picture]

    @property
    def aspect(self) -> float:
        """Width over height of the cropped image, in mm."""
        return self.pixel_aspect * self.width / self.height

    @property
    def size(self) -> int:
        """Characters of all its pictures."""
        return sum(len(p.image) + len(p.error) + len(p.spectrum) for p in self.pictures)


def panels(
    slices: Sequence[Slice], degradation: Degradation, brightest: float, most_characters: int
) -> list[Panel]:
    """Make the pictures of all slices, in fewer shades of grey where they would grow too large.

    Args:
        slices: What to show.
        degradation: Decides the box drawn into k-space.
        brightest: The difference that has the brightest colour.
        most_characters: Of all pictures together, if fewer shades suffice for that.
    """
    found: list[Panel] = []
    for levels in SHADES:
        found = [panel(one, degradation, brightest, levels) for one in slices]
        if sum(made.size for made in found) <= most_characters:
            break
    return found


def panel(one: Slice, degradation: Degradation, brightest: float, levels: int = 256) -> Panel:
    """Make all pictures of one slice.

    Args:
        one: The slice.
        degradation: Decides the box drawn into k-space.
        brightest: The difference that has the brightest colour.
        levels: Shades of grey; fewer make smaller files.
    """
    reference = one.images[one.reference]
    window = _head(reference, one.box)
    height, width = reference[window].shape
    row, col, side = one.box
    return Panel(
        one.label,
        one.reasons,
        width,
        height,
        one.spacing[1] / one.spacing[0],
        (row - window[0].start, col - window[1].start, side),
        _kept(reference.shape, degradation),
        [_picture(one, name, window, brightest, levels) for name in one.images],
    )


def _picture(
    one: Slice, name: str, window: tuple[slice, slice], brightest: float, levels: int
) -> Picture:
    image, reference = one.images[name], one.images[one.reference]
    white = float(np.percentile(reference, 99.8)) or 1.0
    loudest = float(np.abs(scipy.fft.fft2(reference)).max()) or 1.0
    difference = np.abs(image - reference)[window]
    scores = one.scores.get(name, {})
    return Picture(
        name,
        image=_grey(image[window] / white, levels),
        error="" if name == one.reference else _heat(difference / brightest),
        spectrum=_grey(_spectrum(image, loudest), SPECTRUM_LEVELS),
        psnr=scores.get("psnr"),
        ssim=scores.get("ssim"),
    )


def _kept(shape: tuple[int, ...], degradation: Degradation) -> tuple[float, float, float, float]:
    """x, y, width and height of the kept box as fractions of the spectrum."""
    height, width = shape
    rows, cols = kept_box((height, width), degradation)
    x, y = cols.start / width, rows.start / height
    return x, y, (cols.stop - cols.start) / width, (rows.stop - rows.start) / height


def palette() -> list[str]:
    """The colours of error maps, from none to most."""
    return [f"rgb({r},{g},{b})" for r, g, b in _heat_colours().tolist()]


def most_error(slices: Sequence[Slice]) -> float:
    """The difference that gets the brightest colour: what one pixel in a thousand exceeds.

    One figure for all slices and methods, that of the worst, so that all maps compare.
    """
    errors = [
        float(np.percentile(np.abs(image - one.images[one.reference]), 99.9))
        for one in slices
        for name, image in one.images.items()
        if name != one.reference
    ]
    return max(errors, default=0.0) or 1.0


def _head(reference: np.ndarray, box: tuple[int, int, int]) -> tuple[slice, slice]:
    """The rows and columns with tissue or the box in them, and a margin."""
    row, col, side = box
    windows = []
    for axis, start in ((0, row), (1, col)):
        (tissue,) = np.nonzero((reference > metrics.BACKGROUND_LEVEL).any(axis=1 - axis))
        first = min([*tissue[:1].tolist(), start])
        last = max([*tissue[-1:].tolist(), start + side - 1])
        windows.append(slice(max(first - MARGIN, 0), min(last + MARGIN + 1, reference.shape[axis])))
    return windows[0], windows[1]


def _spectrum(image: np.ndarray, loudest: float) -> np.ndarray:
    """(h, w) in [0, 1]: magnitude of k-space over five decades, at most 128 pixels a side."""
    spectrum = np.abs(scipy.fft.fftshift(scipy.fft.fft2(image)))
    blocks = [max(1, -(-n // SPECTRUM_SIDE)) for n in spectrum.shape]
    rows, cols = (n // b * b for n, b in zip(spectrum.shape, blocks, strict=True))
    means = spectrum[:rows, :cols].reshape(rows // blocks[0], blocks[0], cols // blocks[1], -1)
    relative = np.maximum(means.mean(axis=(1, 3)) / loudest, 10.0**-SPECTRUM_DECADES)
    return 1 + np.log10(relative) / SPECTRUM_DECADES


def _grey(image: np.ndarray, levels: int) -> str:
    steps = np.rint(np.clip(image, 0, 1) * (levels - 1))
    return _uri(Image.fromarray(np.rint(steps * 255 / (levels - 1)).astype(np.uint8)))


def _heat(error: np.ndarray) -> str:
    codes = np.rint(np.clip(error, 0, 1) * (ERROR_LEVELS - 1)).astype(np.uint8)
    picture = Image.fromarray(codes, mode="P")
    picture.putpalette(_heat_colours().astype(np.uint8).tobytes())
    return _uri(picture)


def _heat_colours() -> np.ndarray:
    from matplotlib import colormaps

    return np.rint(colormaps["magma"](np.linspace(0, 1, ERROR_LEVELS))[:, :3] * 255).astype(int)


def _uri(picture: Image.Image) -> str:
    content = io.BytesIO()
    # Lossless WebP is a fifth smaller than PNG, and every browser of today shows it.
    picture.convert("RGB").save(content, "WEBP", lossless=True, quality=60, method=3)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
