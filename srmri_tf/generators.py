"""Generators as Keras models: each model's module, names of variables, and a compiled call."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from srmri_tf import circle, cpce

MODELS: dict[str, Any] = {"cpce": cpce, "circle": circle}
"""Each model's module: it has ``build`` and ``build_generator``."""

Sharpen = Callable[[np.ndarray], np.ndarray]


def variables_by_layer(network: keras.Model) -> dict[str, keras.Variable]:
    """A network's variables by ``LAYER/VARIABLE``, such as ``conv1/kernel``."""
    return {"/".join(v.path.split("/")[-2:]): v for v in network.variables}


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
