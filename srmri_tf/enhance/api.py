"""The Python interface: a trained network as a function from volumes to volumes."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.errors import BadInputError
from data_prep.scans.orientation import PlaneChoice
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.volume import (
    Enhanced,
    enhance_volume,
    implausible_warning,
    out_of_range,
    wrong_grid_warning,
)

if TYPE_CHECKING:  # TensorFlow takes seconds to import
    from srmri_tf.models.card import ModelCard
    from srmri_tf.models.model import Network


class Model:
    """A network as a function from volumes to volumes: what `srmri_tf.load_model` returns.

    Args:
        network: From `srmri_tf.models.model.load_network`.
    """

    def __init__(self, network: "Network") -> None:
        self.network = network

    @property
    def name(self) -> str:
        """What the network is called."""
        return self.network.name

    @property
    def card(self) -> "ModelCard | None":
        """What it was trained on, what it gains, and what it must not be used for."""
        return self.network.card

    def __call__(
        self,
        array: np.ndarray,
        spacing: Sequence[float] | np.ndarray,
        *,
        same_grid: bool = False,
        plane: PlaneChoice = "auto",
        consistency: bool | None = None,
    ) -> np.ndarray:
        """Enhance a volume; the slices' matrix is doubled unless ``same_grid``.

        Args:
            array: ``(X, Y, Z)`` real and finite, in any scale: magnitudes.
            spacing: Voxel sizes in mm along the three axes, which then are taken for left to
                right, posterior to anterior and inferior to superior; or a ``(4, 4)`` affine to
                RAS+ mm, such as nibabel's, that says how they lie.
            same_grid: The scan is interpolated already: keep its grid.
            plane: The plane that was acquired; ``auto`` finds it from the spacing.
            consistency: Put the measured centre of k-space back; None: unless ``same_grid``.

        Returns:
            ``(2X, 2Y, Z)`` float32 for axial slices, in the array's scale; voxel (0, 0, k) is
            where it was.

        Raises:
            BadInputError: The array is no volume of magnitudes, or the spacing is impossible.
        """
        config = EnhanceConfig(same_grid, plane, consistency)
        return self.enhance(array, spacing, config).voxels

    def enhance(
        self,
        array: np.ndarray,
        spacing: Sequence[float] | np.ndarray,
        config: EnhanceConfig | None = None,
    ) -> Enhanced:
        """The same with everything else there is: the affine, the plane, the uncertainty."""
        config = config or EnhanceConfig()
        voxels, affine = _checked(array), _as_affine(spacing)
        result = enhance_volume(self.network, voxels, affine, config)
        for clause in out_of_range(self.network, voxels, affine, result.slicing, config.factor):
            warnings.warn(f"unlike the training data of {self.name}: {clause}", stacklevel=3)
        for clause in (
            wrong_grid_warning(voxels, result.slicing, config.factor),
            implausible_warning(result.implausible, self.name),
        ):
            if clause:
                warnings.warn(f"the volume {clause}", stacklevel=3)
        return result


def load_model(model: str | Path, precision: str) -> Model:
    """`srmri_tf.load_model`, which says more."""
    from srmri_tf.models.model import load_network

    return Model(load_network(model, precision))


def _checked(array: np.ndarray) -> np.ndarray:
    voxels = np.asarray(array)
    if voxels.ndim != 3 or not voxels.size:
        raise BadInputError(
            f"a volume has three axes (X, Y, Z), got an array of shape {voxels.shape}",
            remedy="Give one volume at a time",
        )
    if voxels.dtype.kind not in "iuf":
        raise BadInputError(
            f"a volume holds real numbers, got {voxels.dtype}", remedy="Give the magnitude image"
        )
    voxels = voxels.astype(np.float32, copy=False)
    if not np.isfinite(voxels).all():
        raise BadInputError(
            "the volume has voxels that are NaN or infinite", remedy="Repair them first"
        )
    return voxels


def _as_affine(spacing: Sequence[float] | np.ndarray) -> np.ndarray:
    try:
        given = np.asarray(spacing, np.float64)
    except (TypeError, ValueError):
        given = np.empty(0)
    sizes = given.shape == (3,) and (given > 0).all()
    affine = np.diag([*given, 1.0]) if sizes else given
    sound = affine.shape == (4, 4) and np.isfinite(affine).all()
    if not sound or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise BadInputError(
            f"{spacing!r} is no spacing",
            remedy="Give three voxel sizes in mm or a 4 x 4 affine",
        )
    return affine
