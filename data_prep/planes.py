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

from collections.abc import Sequence
from dataclasses import dataclass
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
    orientation = _orientation(affine, path)
    turned = nib.apply_orientation(voxels, orientation)
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


@dataclass(frozen=True)
class Cut:
    """How a stored volume falls into slices; nothing is turned, copied or moved.

    Args:
        plane: The plane the slices lie in.
        axes: Which stored axes become slices, rows and columns.
        against: Whether rows and columns run against the stored order.
    """

    plane: AnatomicalPlane
    axes: tuple[int, int, int]
    against: tuple[bool, bool]

    def stack(self, voxels: np.ndarray) -> np.ndarray:
        """The volume's slices as they are stored: ``(X, Y, Z)`` to ``(S, A, B)``, a view."""
        return np.moveaxis(voxels, self.axes[0], 0)

    def shown(self, stored: np.ndarray) -> np.ndarray:
        """Slices as a person looks at them: ``(S, A, B)`` to ``(S, H, W)``, a view."""
        images = stored.swapaxes(1, 2) if self._crosswise else stored
        return images[:, self._steps[0], self._steps[1]]

    def stored(self, shown: np.ndarray) -> np.ndarray:
        """The inverse of `shown`, a view."""
        images = shown[:, self._steps[0], self._steps[1]]
        return images.swapaxes(1, 2) if self._crosswise else images

    @property
    def in_plane(self) -> tuple[int, int]:
        """The two stored axes that are not the slices'."""
        return min(self.axes[1:]), max(self.axes[1:])

    @property
    def _crosswise(self) -> bool:
        return self.axes[1] > self.axes[2]

    @property
    def _steps(self) -> tuple[slice, slice]:
        rows, columns = (slice(None, None, -1 if against else 1) for against in self.against)
        return rows, columns


def cut(
    affine: np.ndarray,
    path: Path | None = None,
    plane: AnatomicalPlane | Literal["auto"] = "auto",
    slice_axis: int | None = None,
) -> Cut:
    """Find out how a stored volume is to be cut, so that slices look as training saw them.

    Args:
        affine: ``(4, 4)``, stored indices to RAS+ mm.
        path: Named in errors.
        plane: The plane to cut along; ``auto`` takes the slices as they were acquired.
        slice_axis: The stored axis that the file says its slices lie across, if it says so.

    Raises:
        BadInputError: Two axes of the volume lie along the same direction.
    """
    anatomical, signs = _orientation(affine, path).T
    if plane == "auto":
        across = _odd_one_out(affine) if slice_axis is None else slice_axis
        plane = PLANES[int(anatomical[across])]
    slices_at, rows_at, columns_at = (
        int(np.flatnonzero(anatomical == axis)[0]) for axis in _LAYOUT[plane]
    )
    # Rows and columns run against RAS+, so an axis stored along RAS+ is to be reversed.
    against = bool(signs[rows_at] > 0), bool(signs[columns_at] > 0)
    return Cut(plane, (slices_at, rows_at, columns_at), against)


def _odd_one_out(affine: np.ndarray) -> int:
    """The stored axis whose spacing is unlike the two others', as pixels are mostly square.

    Unlike `choose_plane` this finds the slices of a scan whose pixels are larger than its slices
    are thick. Where all three differ it is the largest one's, where none does the axial one.
    """
    sizes = voxel_sizes(affine)
    alike = [abs(a - b) <= _TIE * max(a, b) for a, b in _pairs(sizes)]
    if sum(alike) == 1:
        return alike.index(True)
    if any(alike):
        anatomical = _orientation(affine, None)[:, 0]
        return int(np.flatnonzero(anatomical == PLANES.index("axial"))[0])
    return int(np.argmax(sizes))


def _pairs(sizes: Sequence[float]) -> list[tuple[float, float]]:
    """For each axis the two others."""
    return [(sizes[1], sizes[2]), (sizes[0], sizes[2]), (sizes[0], sizes[1])]


def _orientation(affine: np.ndarray, path: Path | None) -> np.ndarray:
    """(3, 2): the RAS+ axis that each stored axis is nearest to, and whether along it (1, -1).

    Raises:
        BadInputError: Two axes of the volume lie along the same direction.
    """
    try:
        orientation = nib.io_orientation(affine)
        if np.isnan(orientation).any():
            raise OrientationError("an axis is missing")
    except OrientationError as error:
        raise BadInputError(
            f"has an orientation that cannot be brought to RAS+ ({error})",
            path=path,
            remedy="Export the scan again",
        ) from None
    return orientation
