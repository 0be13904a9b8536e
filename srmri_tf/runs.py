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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from data_prep.errors import BadInputError, CorruptArtefactError
from srmri_tf import checkpoint, circle, cpce
from srmri_tf.config import RunConfig
from srmri_tf.recipes import RUN_CONFIG, load_recipe

AGAIN = "Train the run again in another folder"
MODELS: dict[str, Any] = {"cpce": cpce, "circle": circle}
"""Each model's module: it has ``build`` and ``build_generator``."""

Sharpen = Callable[[np.ndarray], np.ndarray]


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

    def config(self) -> RunConfig:
        """The settings the run was started with.

        Raises:
            BadInputError: The folder is not a run.
        """
        if not self.config_file.is_file():
            raise BadInputError(
                "is not a training run: it has no config.toml",
                path=self.folder,
                remedy="Train one with `srmri-tf fit`",
            )
        return load_recipe(str(self.config_file))

    def facts(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            CorruptArtefactError: It is missing or not a JSON object.
        """
        try:
            facts = json.loads(self.facts_file.read_text(encoding="utf-8"))
            if not isinstance(facts, dict):
                raise ValueError("it holds no object")
        except (OSError, ValueError) as error:
            raise CorruptArtefactError(
                f"cannot be read ({error})", path=self.facts_file, remedy=AGAIN
            ) from None
        return facts

    def generator(self) -> keras.Model:
        """The best epoch's generator, in float32.

        Raises:
            BadInputError: No epoch has finished yet.
            CorruptArtefactError: The weights are damaged or of another network.
        """
        config = self.config()
        if not self.best_file.is_file():
            raise BadInputError(
                "has no finished epoch yet",
                path=self.folder,
                remedy="Let `srmri-tf fit` finish at least one adversarial epoch",
            )
        arrays, _ = checkpoint.load(self.best_file)
        generator = MODELS[config.model].build_generator(config, "float32")
        checkpoint.assign(self.best_file, weights_by_name(generator), arrays)
        return generator


def weights_by_name(network: keras.Model) -> dict[str, keras.Variable]:
    """A network's variables by a name that is the same in every run."""
    return {f"{i:03d}": variable for i, variable in enumerate(network.variables)}


def sharpener(generator: keras.Model, batch: int = 4) -> Sharpen:
    """Compile a generator into a function from (S, H, W) slices to (S, H, W) slices.

    Args:
        generator: Maps (B, H, W, 1) to (B, H, W, 1).
        batch: Slices in memory at a time.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32)])
    def forward(lr: tf.Tensor) -> tf.Tensor:
        return generator(lr, training=False)

    def sharpen(slices: np.ndarray) -> np.ndarray:
        starts = range(0, len(slices), batch)
        return np.concatenate(
            [forward(slices[i : i + batch, ..., None]).numpy()[..., 0] for i in starts]
        )

    return sharpen
