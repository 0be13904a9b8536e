"""What every exported format says of its network, and the hash that ties them together."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from data_prep.kspace import Degradation
from srmri_tf.cards import ModelCard


class Metadata(BaseModel):
    """The description that travels inside an exported model.

    Args:
        format: Tells our files from others.
        version: Of this description.
        software: What wrote it.
        name: What the model is called.
        kind: ``cpce`` or ``circle``.
        options: Those of its generator that decide what the weights mean.
        degradation: How its low-resolution images were made.
        halo: Pixels around a tile that its outputs depend on.
        multiple: Offsets of tiles must be multiples of it.
        sha256: `digest` of options and weights.
        card: Its model card, if it has one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["srmri-tf model"] = "srmri-tf model"
    version: Literal[1] = 1
    software: str
    name: str = Field(min_length=1)
    kind: Literal["cpce", "circle"]
    options: dict[str, Any]
    degradation: Degradation
    halo: int = Field(ge=0)
    multiple: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    card: ModelCard | None = None

    def to_json(self) -> str:
        """As JSON, which ``model_validate_json`` reads."""
        return self.model_dump_json(exclude_none=True)


def digest(kind: str, options: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a network: the same for every format it is kept in.

    Args:
        kind: ``cpce`` or ``circle``.
        options: Of its generator: with and without a shortcut, equal weights differ in effect.
        weights: Float32 arrays by name; hashed in the order of their names, little-endian.
    """
    heading = {
        "kind": kind,
        "options": dict(options),
        "weights": {name: list(weights[name].shape) for name in sorted(weights)},
    }
    total = hashlib.sha256(json.dumps(heading, sort_keys=True).encode())
    for name in sorted(weights):
        total.update(np.ascontiguousarray(weights[name], "<f4").tobytes())
    return total.hexdigest()
