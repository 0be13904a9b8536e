"""`load_network`: one trained network, wherever it is kept, ready to sharpen slices.

A MODEL is the name of a shipped model, a RUN folder, or what `export` wrote: a SavedModel folder, a
``.keras`` file or an ``.npz`` file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from data_prep.errors import BadInputError
from data_prep.schema import Degradation
from srmri_tf.cards import ModelCard
from srmri_tf.config import CONFIGS, RunConfig
from srmri_tf.devices import POLICIES, resolve_precision
from srmri_tf.metadata import digest
from srmri_tf.runs import MODELS, Run, Sharpen, sharpener

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Stored:
    """What is kept of a network: all that is needed to build it.

    Args:
        name: What it is called.
        kind: ``cpce`` or ``circle``.
        options: Those of its generator that decide what the weights mean.
        degradation: How its low-resolution images were made.
        weights: Float32 arrays by ``LAYER/VARIABLE``.
        card: Its model card, if it has one.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    degradation: Degradation
    weights: Weights
    card: ModelCard | None = None

    @property
    def sha256(self) -> str:
        """`srmri_tf.metadata.digest` of it."""
        return digest(self.kind, self.options, self.weights)


@dataclass(frozen=True)
class Network:
    """A trained network for slices of twice the matrix.

    Args:
        name: What tables and files call it.
        kind: ``cpce`` or ``circle``.
        options: Those of its generator that decide what the weights mean.
        degradation: How its low-resolution images were made: half of each axis of k-space kept.
        halo: Pixels around a tile that its outputs depend on.
        multiple: Offsets of tiles must be multiples of it.
        sha256: Of options and weights, the same for every format of one model.
        card: Its model card, if it has one.
        sharpen: Maps zero-filled slices (S, H, W) float32, scaled so that the volume's maximum is
            1, to sharpened ones of the same shape. Sides of at least `MIN_SIDE`.
        generator: The Keras model inside: (B, H, W, 1) to (B, H, W, 1).
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    degradation: Degradation
    halo: int
    multiple: int
    sha256: str
    card: ModelCard | None
    sharpen: Sharpen
    generator: keras.Model


MIN_SIDE = 9
"""The smallest side of a slice that every network can take."""


def load_network(model: str | Path, precision: str = "float32") -> Network:
    """Open a MODEL.

    Args:
        model: A shipped model's name, a RUN folder, or what `export` wrote.
        precision: What it computes in: float32, bfloat16, float16 or auto.

    Raises:
        BadInputError: There is no such model, it has no finished epoch, or it was not trained on
            slices that kept half of each axis of k-space.
        CorruptArtefactError: Its weights are damaged or not those it says.
    """
    stored = _read(model)
    check_degradation(stored, model)
    generator = build(stored, precision)
    halo, multiple = reach(stored.kind, stored.options)
    return Network(
        name=stored.name,
        kind=stored.kind,
        options=stored.options,
        degradation=stored.degradation,
        halo=halo,
        multiple=multiple,
        sha256=stored.sha256,
        card=stored.card,
        sharpen=sharpener(generator),
        generator=generator,
    )


def check_degradation(stored: Stored, model: str | Path) -> None:
    """Refuse a network that does not restore half of each axis of k-space.

    Raises:
        BadInputError: It was trained on another degradation.
    """
    kept = stored.degradation
    if (kept.keep_by, kept.keep) not in (("area", 0.25), ("axis", 0.5)):
        raise BadInputError(
            f"was trained on slices that kept {kept.keep:g} of k-space by {kept.keep_by}, but "
            "twice the matrix needs one that kept half of each axis: 0.25 by area",
            path=model,
            remedy="Train on shards prepared with `--keep 0.25 --keep-by area`, the defaults",
        )


def build(stored: Stored, precision: str = "float32") -> keras.Model:
    """The generator with its weights, under a precision's dtype policy."""
    config = CONFIGS[stored.kind].model_validate(
        {"model": stored.kind, "generator": dict(stored.options)}
    )
    policy = POLICIES[resolve_precision(precision)]
    generator = MODELS[stored.kind].build_generator(config, policy)
    for name, variable in variables_by_layer(generator).items():
        variable.assign(stored.weights[name])
    return generator


def variables_by_layer(network: keras.Model) -> dict[str, keras.Variable]:
    """A network's variables by ``LAYER/VARIABLE``, such as ``conv1/kernel``."""
    return {"/".join(v.path.split("/")[-2:]): v for v in network.variables}


def reach(kind: str, options: Mapping[str, Any]) -> tuple[int, int]:
    """How far a network looks, and where its tiles may begin.

    GAN-CPCE: eight 3x3 layers. GAN-CIRCLE at full size: fifteen 3x3 layers in a row (12 blocks,
    B2, C1, C2) and the output's; with a first stride of 2, output o depends on the inputs from
    o - 29 to o + 30.

    Returns:
        The halo in pixels, and the number that tiles' offsets must be multiples of.
    """
    if kind == "cpce":
        return 8, 1
    return (30, 2) if options["first_stride"] == 2 else (16, 1)


def meaning(config: RunConfig) -> dict[str, Any]:
    """The generator's settings that matter once it is trained."""
    options = config.model_dump()["generator"]
    return {key: value for key, value in options.items() if key != "dropout"}


def _read(model: str | Path) -> Stored:
    path = Path(model)
    if (path / "config.toml").is_file():
        return _of_run(Run(path))
    raise BadInputError(
        "is not a training run, an exported model or a shipped model's name",
        path=path,
        remedy="Train one with `srmri-tf fit`",
    )


def _of_run(run: Run) -> Stored:
    config, generator = run.config(), run.generator()
    try:
        degradation = Degradation.model_validate(run.facts()["parameters"]["degradation"])
    except (KeyError, TypeError, ValueError):
        raise BadInputError(
            "does not say which degradation its network was trained on",
            path=run.facts_file,
            remedy="Train it on shards that `srmri-tf prepare` made",
        ) from None
    weights = {name: v.numpy() for name, v in variables_by_layer(generator).items()}
    return Stored(run.name, config.model, meaning(config), degradation, weights)
