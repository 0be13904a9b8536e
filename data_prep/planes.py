"""Volumes in RAS+ and the slices a person would look at.

RAS+ means that the first index grows towards the patient's right, the second towards anterior,
the third towards superior. Slices are in the radiological convention, so that they never depend
on how a file happened to be stored:

========= ======== =========== ==================== ==========================
plane     row 0    column 0    slice 0              slice axis of RAS+
========= ======== =========== ==================== ==========================
axial     anterior right       most inferior        third
coronal   superior right       most posterior       second
sagittal  superior anterior    patient's left       first
========= ======== =========== ==================== ==========================
"""

from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import OrientationError

from data_prep.errors import BadInputError

AnatomicalPlane = Literal["sagittal", "coronal", "axial"]

PLANES: tuple[AnatomicalPlane, ...] = ("sagittal", "coronal", "axial")
# Axes of RAS+ that become slices, rows and columns; rows and columns run against RAS+.
_LAYOUT: dict[AnatomicalPlane, tuple[int, int, int]] = {
    "sagittal": (0, 2, 1),
    "coronal": (1, 2, 0),
    "axial": (2, 1, 0),
}
_TIE = 0.01  # spacings this close, relatively, count as equal


def to_ras(voxels: np.ndarray, affine: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Turn a volume to the nearest RAS+ orientation, without resampling.

    Args:
        voxels: ``(X, Y, Z)`` in storage order.
        affine: ``(4, 4)``, voxel indices to RAS+ mm.
        path: Named in errors.

    Returns:
        A view of the voxels, and the affine that belongs to it.

    Raises:
        BadInputError: Two axes of the volume lie along the same direction.
    """
    try:
        orientation = nib.io_orientation(affine)
        if np.isnan(orientation).any():
            raise OrientationError("an axis is missing")
        turned = nib.apply_orientation(voxels, orientation)
    except OrientationError as error:
        raise BadInputError(
            f"has an orientation that cannot be brought to RAS+ ({error})",
            path=path,
            remedy="Export the scan again",
        ) from None
    return turned, affine @ nib.orientations.inv_ornt_aff(orientation, voxels.shape)


def choose_plane(affine: np.ndarray) -> AnatomicalPlane:
    """The plane the scan was acquired in: slices lie across the axis of largest spacing.

    Of axes equal to 1 % the last one counts, so isotropic volumes are cut axially.

    Args:
        affine: ``(4, 4)`` of a RAS+ volume, in mm.
    """
    spacing = voxel_sizes(affine)
    largest = np.flatnonzero(spacing >= spacing.max() * (1 - _TIE))
    return PLANES[int(largest[-1])]


def slices(voxels: np.ndarray, plane: AnatomicalPlane) -> np.ndarray:
    """The slices of a volume as a person looks at them.

    Args:
        voxels: ``(X, Y, Z)`` in RAS+.
        plane: Which plane to cut along.

    Returns:
        ``(S, H, W)``, a view; the module's table says what row 0 and column 0 are.
    """
    return voxels.transpose(_LAYOUT[plane])[:, ::-1, ::-1]


def as_volume(
    images: np.ndarray, sizes: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of axial `slices`, for files that hold slices and no orientation.

    Args:
        images: ``(S, H, W)``.
        sizes: Row, column and slice spacing in mm.

    Returns:
        ``(W, H, S)`` voxels, a view, and the affine of their spacing.
    """
    row, column, thickness = sizes
    voxels = images[:, ::-1, ::-1].transpose(_LAYOUT["axial"])
    return voxels, np.diag([column, row, thickness, 1.0])


def spacing(affine: np.ndarray, plane: AnatomicalPlane) -> tuple[float, float, float]:
    """Row, column and slice spacing in mm, to a hundredth of a micrometre.

    Args:
        affine: ``(4, 4)`` of the RAS+ volume, in mm.
        plane: Which plane was cut along.
    """
    sizes = [round(float(size), 5) for size in voxel_sizes(affine)]
    slice_axis, row_axis, column_axis = _LAYOUT[plane]
    return sizes[row_axis], sizes[column_axis], sizes[slice_axis]
