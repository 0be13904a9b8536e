"""Super-resolution MRI with GAN-CPCE and GAN-CIRCLE (Lyu, You, Shan, Wang 2018)."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from srmri_tf.enhance.api import Model

__version__ = version("srmri-tf")
__all__ = ["DEFAULT_MODEL", "__version__", "load_model"]

DEFAULT_MODEL = "l1-x2"
"""The shipped model that `enhance` takes where no other is named."""


def load_model(model: str | Path = DEFAULT_MODEL, precision: str = "float32") -> "Model":
    """Load a trained network, to be called on volumes: ``load_model()(array, spacing)``.

    Args:
        model: The name of a shipped model (`srmri-tf models` lists them), a RUN folder, or what
            `srmri-tf export` wrote.
        precision: What it computes in: float32, bfloat16, float16 or auto.

    Raises:
        BadInputError: There is no such model, or it is no network for twice the matrix.
        CorruptArtefactError: Its weights are damaged.
    """
    # TensorFlow takes seconds to import, and most of this package does without it.
    from srmri_tf.enhance.api import load_model as load

    return load(model, precision)
