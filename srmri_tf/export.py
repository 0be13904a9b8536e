"""`export`: a run's generator as a SavedModel that needs TensorFlow and nothing else.

Signature ``serving_default``: input ``lr`` float32 (batch, height, width, 1), output ``sr`` the
same. Any size; intensities on the scale the run was trained on (a volume's maximum is 1).
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from data_prep.atomic import atomic_folder, refuse_foreign
from data_prep.errors import ConfigError, CorruptArtefactError
from srmri_tf.runs import Run

TOLERANCE = 1e-5


def export(run_folder: Path, out: Path, overwrite: bool = False) -> Path:
    """Write the best epoch's generator as a SavedModel, read it back and compare.

    Args:
        run_folder: A RUN folder.
        out: The SavedModel's folder.
        overwrite: Replace a SavedModel that is already there.

    Raises:
        ConfigError: ``out`` holds something already.
        BadInputError: The folder is not a run, or has no finished epoch.
        CorruptArtefactError: The run's weights are damaged, or what was written does not agree.
        EnvironmentFault: The folder cannot be written.
    """
    out = Path(out)
    refuse_foreign(out, "a SavedModel", "saved_model.pb")
    if (out / "saved_model.pb").exists() and not overwrite:
        raise ConfigError(
            "already holds a SavedModel", path=out, remedy="Give --overwrite to replace it"
        )
    generator = Run(Path(run_folder)).generator()

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 1], tf.float32, name="lr")])
    def serve(lr: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sr": generator(lr, training=False)}

    with atomic_folder(out) as folder:
        archive = keras.export.ExportArchive()
        archive.track(generator)
        archive.add_endpoint("serving_default", serve)
        archive.write_out(str(folder), verbose=False)
        _compare(folder, generator, out)
    return out


def _compare(folder: Path, generator: keras.Model, out: Path) -> None:
    lr = np.random.default_rng(0).random((2, 40, 33, 1), np.float32)
    loaded = tf.saved_model.load(str(folder)).signatures["serving_default"]
    difference = float(tf.reduce_max(tf.abs(loaded(lr=lr)["sr"] - generator(lr))))
    if not difference <= TOLERANCE:
        raise CorruptArtefactError(
            f"the SavedModel differs from the run by {difference:.1e}, not at most {TOLERANCE}",
            path=out,
        )
