"""One volume as low- and high-resolution slices that share one intensity scale."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.errors import BadInputError
from data_prep.kspace import FACTOR, Degradation, reconstruct_kept, zero_filled
from data_prep.scans.fastmri import crop
from data_prep.scans.intensity import intensity_scale
from data_prep.scans.orientation import Volume

_UNMEASURED = {
    "real": "whose image has a phase: its real part is no image",
    "coarse": "of which coarse magnitudes are not made",
}


@dataclass(frozen=True, eq=False)
class SlicePairs:
    """The slices of one volume, and how to get their low-resolution partners.

    Args:
        images: ``(S, H, W)`` float32 in the scan's own units; may be a view.
        scale: The intensity that becomes 1: the volume's maximum.
        degradation: How low resolution is made.
        kspace: ``(S, Hk, Wk)`` the measurement to degrade; None to degrade the images.
    """

    images: np.ndarray
    scale: float
    degradation: Degradation
    kspace: np.ndarray | None = None

    def at(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low- and high-resolution slices.

        The volume is scaled first and degraded after, so both are in one scale.

        Args:
            indices: Which slices, ``(N,)``.

        Returns:
            LR and HR, ``(N, H, W)`` float32; HR in [0, 1], undershoot below zero cut off.
        """
        high = np.empty((len(indices), *self.images.shape[1:]), np.float32)
        for place, index in enumerate(indices):  # one pass over a strided view, no copy of it
            np.divide(self.images[index], np.float32(self.scale), out=high[place])
        np.maximum(high, 0, out=high)
        if self.kspace is None:
            return zero_filled(high, self.degradation), high
        low = reconstruct_kept(self.kspace[indices], self.degradation)
        return crop(low, (high.shape[-2], high.shape[-1])) / np.float32(self.scale), high


def slice_pairs(volume: Volume, degradation: Degradation, path: Path) -> SlicePairs:
    """Scale a volume and set how its low resolution is made.

    Args:
        volume: The slices.
        degradation: How low resolution is made; coarse images get even sides.
        path: Named in errors.

    Raises:
        BadInputError: The volume is constant, dark or not a magnitude image, or was measured
            and the degradation is not one of measurements.
    """
    images = volume.images
    if volume.kspace is not None and (fault := _UNMEASURED.get(degradation.lr)):
        raise BadInputError(
            f"has measured k-space, {fault}",
            path=path,
            remedy="Give --lr magnitude, or --fastmri rss",
        )
    scale = intensity_scale(images, path)
    if degradation.lr == "coarse":  # the whole matrix is a multiple of the coarse one
        height, width = (side // FACTOR * FACTOR for side in images.shape[1:])
        images = images[:, :height, :width]
    return SlicePairs(images, scale, degradation, volume.kspace)
