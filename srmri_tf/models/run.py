"""A RUN folder: what `fit` leaves behind and what evaluate, export and enhance open.

=================== ==========================================================
``config.toml``     the resolved settings, itself a valid recipe
``run.json``        versions, data, VGG weights and devices
``log.csv``         one row per epoch
``checkpoint.npz``  everything needed to go on: weights, optimisers, history
``best.npz``        the generator of the best epoch
=================== ==========================================================
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.files import SEAL, file_sha256, is_as_sealed
from srmri_tf.models import checkpoint
from srmri_tf.recipes import RUN_CONFIG, load_recipe
from srmri_tf.recipes.config import TrainConfig

EXTENDED = "epochs_before"
"""Where run.json lists how many adversarial epochs a run had before it was given more."""

AGAIN = "Train the run again in another folder"
CONFIG_SHA256 = "config_sha256"
"""In ``run.json``: of the settings the run was started with, and of those it was extended to."""

_CHANGED = "was changed after the run was started"
_RESTORE = "Restore it from a copy, or train the run again in another folder"


@dataclass(frozen=True)
class Run:
    """Names inside a RUN folder."""

    folder: Path

    @property
    def config_file(self) -> Path:
        """The resolved settings."""
        return self.folder / RUN_CONFIG

    @property
    def facts_file(self) -> Path:
        """Versions, data and weights the run used."""
        return self.folder / "run.json"

    @property
    def log_file(self) -> Path:
        """One row per epoch."""
        return self.folder / "log.csv"

    @property
    def checkpoint_file(self) -> Path:
        """The state after the last finished epoch, or the step at which it was stopped."""
        return self.folder / "checkpoint.npz"

    @property
    def best_file(self) -> Path:
        """The generator of the best epoch."""
        return self.folder / "best.npz"

    @property
    def name(self) -> str:
        """What tables call this run."""
        return self.folder.resolve().name

    def config(self) -> TrainConfig:
        """The settings the run was started with.

        Raises:
            BadInputError: The folder is not a run.
            CorruptArtefactError: The settings are not those that it was started with.
        """
        if not self.config_file.is_file():
            raise BadInputError(
                "is not a training run: it has no config.toml",
                path=self.folder,
                remedy="Train one with `srmri-tf fit`",
            )
        if self.facts_file.is_file():
            expected = self.facts().get(CONFIG_SHA256)  # of version 0.2 on
            if expected and file_sha256(self.config_file) not in expected:
                raise CorruptArtefactError(_CHANGED, path=self.config_file, remedy=_RESTORE)
        return load_recipe(str(self.config_file))

    def resolved(self, config: TrainConfig) -> TrainConfig:
        """Settings with what ``precision = "auto"`` meant where the run was started.

        Where a run is done nothing is left to compute, so it need not mean the same here.
        """
        if config.precision != "auto":
            return config
        return config.model_copy(update={"precision": self.config().precision})

    def facts(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            CorruptArtefactError: It is missing, was changed, or is not a JSON object.
        """
        try:
            facts = json.loads(self.facts_file.read_text(encoding="utf-8"))
            if not isinstance(facts, dict):
                raise ValueError("it holds no object")
        except (OSError, ValueError) as error:
            raise CorruptArtefactError(
                f"cannot be read ({error})", path=self.facts_file, remedy=AGAIN
            ) from None
        if not is_as_sealed(facts) or (CONFIG_SHA256 in facts and SEAL not in facts):
            raise CorruptArtefactError(_CHANGED, path=self.facts_file, remedy=_RESTORE)
        return facts

    def weights(self) -> dict[str, np.ndarray]:
        """The best epoch's generator: float32 arrays by ``LAYER/VARIABLE``.

        Raises:
            BadInputError: No epoch has finished yet.
            CorruptArtefactError: The file is damaged.
        """
        if not self.best_file.is_file():
            raise BadInputError(
                "has no finished epoch yet",
                path=self.folder,
                remedy="Let `srmri-tf fit` finish at least one adversarial epoch",
            )
        arrays, _ = checkpoint.load(self.best_file)
        if "000" not in arrays:
            return arrays
        names = _numbered_names(self.config().model, len(arrays))
        return dict(zip(names, arrays.values(), strict=False))


def _numbered_names(architecture: str, count: int) -> list[str]:
    """``LAYER/VARIABLE`` of the arrays of a best.npz from before version 0.2, which were numbered.

    Args:
        architecture: ``cpce`` or ``circle``.
        count: Number of arrays: GAN-CIRCLE's C2 may have a bias.
    """
    if architecture == "cpce":
        layers = [f"conv{i}" for i in (1, 2, 3, 4)]
        layers += [f"{name}{i}" for name in ("deconv", "squeeze") for i in (5, 6, 7)]
        return [f"{layer}/kernel" for layer in (*layers, "deconv8")]
    layers = [*(f"feat{i}" for i in range(1, 13)), "A1", "B1", "B2", "C1"]
    names = [f"{layer}/{variable}" for layer in layers for variable in ("kernel", "bias")]
    names += ["C2/kernel", "C2/bias", "out/kernel"]
    if count < len(names):
        names.remove("C2/bias")
    return names
