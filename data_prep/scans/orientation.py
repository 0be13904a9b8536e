"""Which way a scan is cut into slices, and what a slice of it looks like.

Slices are shown in the radiological convention, so that they never depend on how a file happened
to be stored:

========= ======== =========== ==================== ================
plane     row 0    column 0    slice 0              stacked along
========= ======== =========== ==================== ================
axial     anterior right       most inferior        S
coronal   superior right       most posterior       A
sagittal  superior anterior    patient's left       R
========= ======== =========== ==================== ================

R, A and S are the directions that coordinates in mm grow in: right, anterior, superior (RAS+).
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import OrientationError

from data_prep.errors import BadInputError

AnatomicalPlane = Literal["sagittal", "coronal", "axial"]
Plane = Literal["sagittal", "coronal", "axial", "acquired"]
"""``acquired``: slices of a file that has no orientation."""
PlaneChoice = Literal["auto", "sagittal", "coronal", "axial"]

PLANES: tuple[AnatomicalPlane, ...] = ("sagittal", "coronal", "axial")
# Axes of RAS+ that become slices, rows and columns.
_LAYOUT: dict[AnatomicalPlane, tuple[int, int, int]] = {
    "sagittal": (0, 2, 1),
    "coronal": (1, 2, 0),
    "axial": (2, 1, 0),
}
TIE = 0.01
"""Spacings this close, relatively, count as equal."""


@dataclass(frozen=True, eq=False)
class Volume:
    """The slices of one scan.

    Args:
        images: ``(S, H, W)`` float32 in the scan's own intensity units; may be a view.
        spacing: Row, column and slice spacing in mm.
        sha256: Checksum of the file.
        kspace: ``(S, Hk, Wk)`` complex64, the measurement behind the images, where there is one.
    """

    images: np.ndarray
    spacing: tuple[float, float, float]
    sha256: str
    kspace: np.ndarray | None = None


@dataclass(frozen=True)
class Slicing:
    """How a stored volume falls into slices; nothing is copied or resampled.

    Args:
        plane: The plane the slices lie in.
        axes: Which stored axes become slices, rows and columns.
        flipped: Whether slices, rows and columns run opposite to their stored axes.
    """

    plane: AnatomicalPlane
    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def slices(self, voxels: np.ndarray) -> np.ndarray:
        """The slices as the module's table has them: ``(X, Y, Z)`` to ``(S, H, W)``, a view."""
        return voxels.transpose(self.axes)[self._steps]

    def stack(self, voxels: np.ndarray) -> np.ndarray:
        """The slices in stored order, unturned: ``(X, Y, Z)`` to ``(S, A, B)``, a view."""
        return np.moveaxis(voxels, self.axes[0], 0)

    def shown(self, stored: np.ndarray) -> np.ndarray:
        """Slices of a stack as a person looks at them: ``(S, A, B)`` to ``(S, H, W)``, a view."""
        images = stored.swapaxes(1, 2) if self._transposed else stored
        return images[:, *self._steps[1:]]

    def stored(self, shown: np.ndarray) -> np.ndarray:
        """The inverse of `shown`, a view."""
        images = shown[:, *self._steps[1:]]
        return images.swapaxes(1, 2) if self._transposed else images

    def spacing(self, affine: np.ndarray) -> tuple[float, float, float]:
        """Row, column and slice spacing in mm, to a hundredth of a micrometre.

        Args:
            affine: ``(4, 4)``, stored indices to mm.
        """
        sizes = [round(float(size), 5) for size in voxel_sizes(affine)]
        slices_at, rows_at, columns_at = self.axes
        return sizes[rows_at], sizes[columns_at], sizes[slices_at]

    @property
    def in_plane(self) -> tuple[int, int]:
        """The two stored axes that are not the slices'."""
        return min(self.axes[1:]), max(self.axes[1:])

    @property
    def _transposed(self) -> bool:
        """Whether rows come after columns in storage."""
        return self.axes[1] > self.axes[2]

    @property
    def _steps(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)


def find_slicing(
    affine: np.ndarray,
    plane: PlaneChoice = "auto",
    *,
    slice_axis: int | None = None,
    path: Path | None = None,
) -> Slicing:
    """Decide how a scan is cut: for `prepare`, for `enhance` and for arrays alike.

    Without a plane of the user's the slices are those that were acquired. They are stacked along

    1. the axis that the header names (``dim_info``), which only the scanner's converter can know;
    2. else the one axis whose spacing differs from the two others', as pixels are mostly square;
    3. where all three differ, the axis of largest spacing;
    4. where none does, S: isotropic volumes are cut axially.

    Spacings within 1 % count as equal.

    Args:
        affine: ``(4, 4)``, stored indices to RAS+ mm.
        plane: The plane to cut along, or ``auto``.
        slice_axis: The stored axis that the header names, if it does (`nifti_geometry.slice_axis`).
        path: Named in errors.

    Raises:
        BadInputError: Two axes of the volume lie along the same direction.

    Examples:
        Sagittal slices 3 mm apart, of pixels of 1 mm:

        >>> find_slicing(np.diag([3.0, 1.0, 1.0, 1.0])).plane
        'sagittal'
    """
    directions, signs = _orientation(affine, path).T
    if plane == "auto":
        axis = odd_one_out(voxel_sizes(affine)) if slice_axis is None else slice_axis
        plane = "axial" if axis is None else PLANES[int(directions[axis])]
    axes = tuple(int(np.flatnonzero(directions == axis)[0]) for axis in _LAYOUT[plane])
    along = [bool(signs[axis] > 0) for axis in axes]
    # Slices are counted along R, A or S; rows and columns begin at the right, front or top.
    flipped = not along[0], along[1], along[2]
    return Slicing(plane, (axes[0], axes[1], axes[2]), flipped)


def odd_one_out(sizes: np.ndarray) -> int | None:
    """The axis unlike the two others; of three different ones the largest, of three alike none."""
    alike = [abs(a - b) <= TIE * max(a, b) for a, b in combinations(sizes, 2)]
    if not any(alike):
        return int(np.argmax(sizes))
    # Pairs come as (0, 1), (0, 2), (1, 2): the axis that is not in the k-th one is 2 - k.
    return 2 - alike.index(True) if sum(alike) == 1 else None


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
