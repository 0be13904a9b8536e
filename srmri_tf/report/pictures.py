"""Images for a report: small PNGs as data URIs, all methods of a slice on one scale."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import scipy.fft
from PIL import Image

from data_prep.errors import ConfigError
from data_prep.kspace import Degradation, kept_box
from srmri_tf import metrics
from srmri_tf.evaluation.figure import box_of
from srmri_tf.evaluation.gallery import TRUTH, Exhibit

ERROR_LEVELS = 16
SPECTRUM_SIDE = 128
SPECTRUM_DECADES = 5
SPECTRUM_LEVELS = 24
MARGIN = 4


@dataclass(frozen=True)
class Picture:
    """One method's pictures of one slice, as data URIs.

    Args:
        name: The method.
        image: The slice, cropped to the head.
        error: Absolute error, on the colour scale of the report; empty for the truth.
        spectrum: Magnitude of k-space, logarithmic.
        psnr: dB on the whole slice; None for the truth.
        ssim: On the whole slice; None for the truth.
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
        label: Subject, session and slice.
        reasons: Why it is shown.
        width: Columns of the cropped image.
        height: Rows of it.
        box: First row, first column and side of the magnified box in the cropped image.
        kept: x, y, width and height of the kept box as fractions of the spectrum.
        pictures: One per method, the truth last.
    """

    label: str
    reasons: list[str]
    width: int
    height: int
    box: tuple[int, int, int]
    kept: tuple[float, float, float, float]
    pictures: list[Picture]

    @property
    def size(self) -> int:
        """Characters of all its pictures."""
        return sum(len(p.image) + len(p.error) + len(p.spectrum) for p in self.pictures)


def panel(
    exhibit: Exhibit,
    degradation: Degradation,
    most_error: float,
    roi: tuple[int, int, int] | None = None,
    levels: int = 256,
) -> Panel:
    """Make all pictures of one slice.

    Args:
        exhibit: The slice.
        degradation: Decides the box drawn into k-space.
        most_error: The absolute error that has the brightest colour.
        roi: First row, first column and side of the magnified box in the whole slice; None takes
            the one in which low resolution lost the most.
        levels: Shades of grey; fewer make smaller files.

    Raises:
        ConfigError: The box does not lie inside the slice.
    """
    truth = exhibit.images[TRUTH]
    row, col, side = roi or box_of(exhibit)
    if side < 2 or row < 0 or col < 0 or row + side > truth.shape[0] or col + side > truth.shape[1]:
        raise ConfigError(
            f"the box of rows {row} to {row + side} and columns {col} to {col + side} does not lie "
            f"inside slice {exhibit.label} of {truth.shape[0]} x {truth.shape[1]}",
            remedy="Give --roi ROW,COLUMN,SIDE in pixels",
        )
    window = _head(truth, (row, col, side))
    brightest = float(np.percentile(truth, 99.8)) or 1.0
    loudest = float(np.abs(scipy.fft.fft2(truth)).max()) or 1.0
    pictures = []
    for name, image in exhibit.images.items():
        scores = exhibit.scores.get(name, {})
        pictures.append(
            Picture(
                name,
                image=_grey(image[window] / brightest, levels),
                error="" if name == TRUTH else _heat(np.abs(image - truth)[window] / most_error),
                spectrum=_grey(_spectrum(image, loudest), SPECTRUM_LEVELS),
                psnr=scores.get("psnr"),
                ssim=scores.get("ssim"),
            )
        )
    height, width = truth[window].shape
    rows, cols = kept_box((truth.shape[0], truth.shape[1]), degradation)
    return Panel(
        exhibit.label,
        exhibit.reasons,
        width,
        height,
        (row - window[0].start, col - window[1].start, side),
        (
            cols.start / truth.shape[1],
            rows.start / truth.shape[0],
            (cols.stop - cols.start) / truth.shape[1],
            (rows.stop - rows.start) / truth.shape[0],
        ),
        pictures,
    )


def palette() -> list[str]:
    """The colours of error maps, from none to most."""
    return [f"rgb({r},{g},{b})" for r, g, b in _heat_colours().tolist()]


def most_error(exhibits: list[Exhibit]) -> float:
    """The error that gets the brightest colour: what one pixel in a thousand exceeds at its worst.

    One figure for all slices and methods, so that all error maps compare.
    """
    errors = [
        float(np.percentile(np.abs(image - exhibit.images[TRUTH]), 99.9))
        for exhibit in exhibits
        for name, image in exhibit.images.items()
        if name != TRUTH
    ]
    return max(errors, default=0.0) or 1.0


def _head(truth: np.ndarray, box: tuple[int, int, int]) -> tuple[slice, slice]:
    """The rows and columns with tissue or the box in them, and a margin."""
    row, col, side = box
    windows = []
    for axis, start in ((0, row), (1, col)):
        (tissue,) = np.nonzero((truth > metrics.BACKGROUND_LEVEL).any(axis=1 - axis))
        first = min([*tissue[:1].tolist(), start])
        last = max([*tissue[-1:].tolist(), start + side - 1])
        windows.append(slice(max(first - MARGIN, 0), min(last + MARGIN + 1, truth.shape[axis])))
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
