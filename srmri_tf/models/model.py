"""`load_network`: one trained network, wherever it is kept, ready to enhance slices.

A MODEL is the name of a shipped model, a RUN folder, or what `export` wrote: a SavedModel folder, a
``.keras`` file or an ``.npz`` file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from data_prep.kspace import Degradation
from srmri_tf.models.card import ModelCard
from srmri_tf.models.stored import Stored, check_degradation, read, tiling
from srmri_tf.networks.registry import SuperResolve, super_resolver


@dataclass(frozen=True)
class Network:
    """A trained network for slices of twice the matrix.

    Args:
        name: What tables and files call it.
        architecture: ``cpce`` or ``circle``.
        options: Those of its generator that decide what the weights mean.
        degradation: How its low-resolution images were made: half of each axis of k-space kept.
        halo: Pixels around a tile that its outputs depend on.
        multiple: Offsets of tiles must be multiples of it.
        sha256: Of options and weights, the same for every format of one model.
        card: Its model card, if it has one.
        super_resolve: Maps zero-filled slices (S, H, W) float32, scaled so that the volume's
            maximum is 1, to enhanced ones of the same shape. Sides of at least
            `srmri_tf.models.stored.MIN_SIDE`.
        generator: The Keras model inside: (B, H, W, 1) to (B, H, W, 1).
    """

    name: str
    architecture: str
    options: Mapping[str, Any]
    degradation: Degradation
    halo: int
    multiple: int
    sha256: str
    card: ModelCard | None
    super_resolve: SuperResolve
    generator: keras.Model


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
    stored = read(model)
    check_degradation(stored, model)
    return network_of(stored, precision)


def network_of(stored: Stored, precision: str = "float32") -> Network:
    """Build the network that was read.

    Args:
        stored: From `srmri_tf.models.stored.read`.
        precision: As for `load_network`.

    Raises:
        CorruptArtefactError: Its weights are of another network.
    """
    generator = stored.generator(precision)
    halo, multiple = tiling(stored.architecture, stored.options)
    return Network(
        name=stored.name,
        architecture=stored.architecture,
        options=stored.options,
        degradation=stored.degradation,
        halo=halo,
        multiple=multiple,
        sha256=stored.sha256,
        card=stored.card,
        super_resolve=super_resolver(generator),
        generator=generator,
    )
