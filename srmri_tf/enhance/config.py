"""What `enhance` makes of scans, and with what: its settings, known without TensorFlow."""

from dataclasses import dataclass
from typing import get_args

from data_prep.errors import ConfigError
from data_prep.kspace import FACTOR
from data_prep.scans.orientation import PlaneChoice
from srmri_tf import DEFAULT_MODEL


@dataclass(frozen=True)
class EnhanceConfig:
    """What to make of scans, and with what.

    Args:
        same_grid: The scanner has interpolated already: enhance on the grid as it is.
        plane: The plane that was acquired; ``auto`` finds it.
        consistency: Put the measured centre of k-space back; None: unless ``same_grid``.
        ensemble: Give the mean of the outputs for a slice's eight flips and transposes.
        uncertainty: Also map how much the network's output depends on how a slice is turned.
        model: A MODEL: a shipped model's name, a RUN, or what `export` wrote.
        precision: What networks compute in.
    """

    same_grid: bool = False
    plane: PlaneChoice = "auto"
    consistency: bool | None = None
    uncertainty: bool = False
    ensemble: bool = False
    model: str = DEFAULT_MODEL
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Check what type hints do not.

        Raises:
            ConfigError: There is no such plane.
        """
        if self.plane not in get_args(PlaneChoice):
            raise ConfigError(
                f"there is no plane {self.plane!r}",
                remedy=f"Give one of {', '.join(get_args(PlaneChoice))}",
            )

    @property
    def factor(self) -> int:
        """How many times as many voxels a slice has along each axis."""
        return 1 if self.same_grid else FACTOR

    @property
    def puts_back(self) -> bool:
        """Whether the measured centre of k-space is put back."""
        return not self.same_grid if self.consistency is None else self.consistency
