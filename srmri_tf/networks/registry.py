"""Each architecture by its name, a trained generator for inference, and its compiled call."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from srmri_tf.networks import circle, cpce

MODELS: dict[str, Any] = {"cpce": cpce, "circle": circle}
"""Each architecture's module: it has ``build`` and ``build_generator``."""

SuperResolve = Callable[[np.ndarray], np.ndarray]


def plain_model(generator: keras.Model) -> keras.Model:
    """The same network and weights as a model of its layers alone, without our class around them.

    Made of Keras's own layers, so that it loads without this package. GAN-CIRCLE's then takes even
    sides only, where its first stride is 2: what treats odd ones is the class.
    """
    if not isinstance(generator, cpce.CpceGenerator | circle.CircleGenerator):
        return generator
    return keras.Model(generator.inputs, generator.outputs, name="sr")


def super_resolver(generator: keras.Model, batch: int = 4) -> SuperResolve:
    """Compile a generator into a function from (S, H, W) slices to (S, H, W) slices.

    Args:
        generator: Maps (B, H, W, 1) to (B, H, W, 1).
        batch: Slices in memory at a time.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32)])
    def forward(lr: tf.Tensor) -> tf.Tensor:
        return generator(lr, training=False)

    def super_resolve(slices: np.ndarray) -> np.ndarray:
        starts = range(0, len(slices), batch)
        return np.concatenate(
            [forward(slices[i : i + batch, ..., None]).numpy()[..., 0] for i in starts]
        )

    return super_resolve
