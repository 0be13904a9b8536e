"""`fit --init MODEL`: the weights of a trained network as those that a run begins with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.errors import ConfigError, what_differs
from srmri_tf.models import checkpoint
from srmri_tf.models.card import Origin, is_shipped
from srmri_tf.models.run import Run
from srmri_tf.models.stored import Stored, meaning, read
from srmri_tf.recipes.config import TrainConfig

if TYPE_CHECKING:
    import keras

DEGRADER = "degrader"


@dataclass(frozen=True)
class Initial:
    """What a run begins with.

    Args:
        origin: Where it comes from.
        generator: Float32 arrays by ``LAYER/VARIABLE``.
        degrader: The same of GAN-CIRCLE's F; empty where the model has none.
    """

    origin: Origin
    generator: Mapping[str, np.ndarray]
    degrader: Mapping[str, np.ndarray]

    def fill(self, model: "keras.Model") -> Origin:
        """Give a model these weights; critics, and an F of another form, are left as they are.

        Args:
            model: `Cpce` or `Circle`, of the recipe that `initial` was given.

        Returns:
            Where the weights come from, and the networks that took them.

        Raises:
            CorruptArtefactError: A weight has another name or shape.
        """
        from srmri_tf.networks.gan import variables_by_layer

        path = Path(self.origin.name)
        checkpoint.assign(path, variables_by_layer(model.generator), self.generator)
        if not self.degrader:
            return self.origin
        variables = variables_by_layer(model.degrader)
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        if {name: array.shape for name, array in self.degrader.items()} != shapes:
            return self.origin
        checkpoint.assign(path, variables, self.degrader)
        return self.origin.model_copy(update={"networks": ("generator", DEGRADER)})


def initial(config: TrainConfig) -> Initial | None:
    """Read what a recipe's ``init`` names, and check that the recipe's generator is the same.

    Raises:
        ConfigError: It is of another architecture, or its generator has other options.
        BadInputError: There is no such model.
        CorruptArtefactError: It is damaged.
    """
    if config.init is None:
        return None
    stored = read(config.init)
    _check_fits(stored, config)
    origin = Origin(name=stored.name, sha256=stored.sha256, **stored.met().model_dump())
    degrader = {} if is_shipped(config.init) else _degrader(Path(config.init))
    return Initial(origin, stored.weights, degrader)


def _check_fits(stored: Stored, config: TrainConfig) -> None:
    if stored.architecture != config.model:
        raise ConfigError(
            f"is a network of {stored.architecture}, not {config.model}",
            path=config.init,
            remedy=f"Train with `srmri-tf fit {stored.architecture}`, or begin with another model",
        )
    wanted = meaning(config)
    if differing := what_differs(stored.options, wanted, "in the model"):
        settings = " ".join(
            f"--set generator.{key}={_toml(value)}"
            for key, value in stored.options.items()
            if wanted.get(key) != value
        )
        own = "function" in wanted and "function" not in stored.options
        give = "Take generator.function out of the recipe" if own else f"Give {settings}"
        raise ConfigError(
            f"has another generator than the recipe: {'; '.join(differing)}",
            path=config.init,
            remedy=f"{give}, or begin with another model",
        )


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _degrader(model: Path) -> dict[str, np.ndarray]:
    """F of a RUN of GAN-CIRCLE, as its last checkpoint has it; empty if there is none."""
    run = Run(model)
    if not (run.config_file.is_file() and run.checkpoint_file.is_file()):
        return {}
    arrays, _ = checkpoint.load(run.checkpoint_file, f"{DEGRADER}/")
    return {name.removeprefix(f"{DEGRADER}/"): array for name, array in arrays.items()}
