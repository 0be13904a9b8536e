"""One volume as low- and high-resolution slices that share one intensity scale."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep import planes
from data_prep.errors import BadInputError
from data_prep.kspace import zero_filled
from data_prep.schema import Degradation, Parameters, Plane
from data_prep.sources import Volume

UNDERSHOOT = 0.25  # of the maximum; resampling and ringing stay well below


@dataclass(frozen=True, eq=False)
class SlicePairs:
    """The slices of one volume, and how to get their low-resolution partners.

    Args:
        images: ``(S, H, W)`` float32 in the scan's own units; may be a view.
        scale: The intensity that becomes 1: the volume's maximum.
        degradation: How low resolution is made.
        plane: The plane the slices lie in.
        spacing: Row, column and slice spacing in mm.
    """

    images: np.ndarray
    scale: float
    degradation: Degradation
    plane: Plane
    spacing: tuple[float, float, float]

    def at(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low- and high-resolution slices.

        The volume is scaled first and degraded after, so both are in one scale.

        Args:
            indices: Which slices, ``(N,)``.

        Returns:
            LR and HR, ``(N, H, W)`` float32; HR in [0, 1], undershoot below zero cut off.
        """
        high = self.images[indices] / np.float32(self.scale)
        np.maximum(high, 0, out=high)
        return zero_filled(high, self.degradation), high


def slice_pairs(volume: Volume, parameters: Parameters) -> SlicePairs:
    """Cut a volume into slices.

    Raises:
        BadInputError: The volume is constant, dark, or not a magnitude image.
    """
    plane = parameters.plane
    if plane == "auto":
        plane = planes.choose_plane(volume.affine)
    return SlicePairs(
        images=planes.slices(volume.voxels, plane),
        scale=intensity_scale(volume.voxels, volume.path),
        degradation=parameters.degradation,
        plane=plane,
        spacing=planes.spacing(volume.affine, plane),
    )


def intensity_scale(voxels: np.ndarray, path: Path) -> float:
    """The maximum of a volume, after checking that dividing by it gives an image in [0, 1].

    Magnitudes are never negative, but resampled ones dip a little below zero beside bright
    edges. Such undershoot is cut off later; a volume that goes further down is something else.

    Args:
        voxels: Any shape, finite.
        path: Named in errors.

    Raises:
        BadInputError: The volume is constant, has no positive voxel, or goes below minus a
            quarter of its maximum.
    """
    low, high = float(voxels.min()), float(voxels.max())
    if low == high:
        raise BadInputError(
            f"is constant: every voxel is {low:g}", path=path, remedy="Leave this scan out"
        )
    if high <= 0:
        raise BadInputError(
            f"has no positive voxel, its maximum is {high:g}",
            path=path,
            remedy="Give the magnitude image",
        )
    if low < -UNDERSHOOT * high:
        raise BadInputError(
            f"is not a magnitude image: it goes from {low:g} to {high:g}",
            path=path,
            remedy="Give the magnitude image, without z-scores or subtracted means",
        )
    return high
