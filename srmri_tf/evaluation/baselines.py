"""What the networks are compared with: interpolation, and what others have printed."""

from dataclasses import dataclass

import numpy as np
import scipy  # imports its parts, which are slow, where they are first used

from data_prep.kspace import FACTOR, Degradation, kept_box

LOW_RESOLUTION = "lr"
BICUBIC = "bicubic"


@dataclass(frozen=True)
class Published:
    """A row of somebody's table: other data and often another degradation, so never a rival.

    Args:
        name: The method.
        data: What it was measured on.
        psnr: dB as printed.
        ssim: As printed.
        source: Where it is printed.
    """

    name: str
    data: str
    psnr: float
    ssim: float
    source: str


PAPER = "Lyu, You, Shan, Wang 2018, arXiv 1810.06776, Table 1"
PUBLISHED = (
    Published("GAN-CPCE (paper)", "IXI T2, x2", 33.2031, 0.9563, PAPER),
    Published("GAN-CIRCLE (paper)", "IXI T2, x2", 32.2995, 0.9465, PAPER),
)


def small_image(lr: np.ndarray, degradation: Degradation) -> np.ndarray:
    """The image at the matrix that was measured: k-space cropped to the kept box.

    Args:
        lr: (H, W) float, zero-filled.
        degradation: Decides the box.

    Returns:
        (h, w) float32 in the same intensity scale; its pixel m lies where ``lr`` has pixel
        m * H / h.
    """
    if degradation.lr == "coarse":  # zero-filling has put new pixels between those of the scan
        return np.asarray(lr[::FACTOR, ::FACTOR], np.float32)
    box = kept_box((lr.shape[0], lr.shape[1]), degradation)
    kept = scipy.fft.fftshift(scipy.fft.fft2(np.asarray(lr, np.float64)))[box]
    image = scipy.fft.ifft2(scipy.fft.ifftshift(kept)) * (kept.size / lr.size)
    return (np.abs(image) if degradation.is_magnitude else image.real).astype(np.float32)


def bicubic(lr: np.ndarray, degradation: Degradation) -> np.ndarray:
    """Cubic-spline interpolation of the small image to the full matrix.

    Both grids start at the same point, as the Fourier transform has it: there is no shift by half
    a pixel. The field of view is periodic, so the last rows are interpolated towards the first.

    Args:
        lr: (H, W) float, zero-filled.
        degradation: How it was made.

    Returns:
        (H, W) float32.
    """
    small = small_image(lr, degradation)
    steps = [n / m for n, m in zip(small.shape, lr.shape, strict=True)]
    return scipy.ndimage.affine_transform(
        small, steps, output_shape=lr.shape, order=3, mode="grid-wrap", output=np.float32
    )
