"""What an exported model gives in a fresh process that cannot import this package.

Each program below is a whole client of its format. It reads ``inputs.npz`` and writes
``outputs.npz`` in the folder it runs in, and takes the model's path as its argument.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data_prep.errors import CorruptArtefactError
from data_prep.files import disk_errors

_ALONE = """
import sys
sys.modules["srmri_tf"] = sys.modules["data_prep"] = None  # importing them fails
import numpy as np
inputs = dict(np.load("inputs.npz"))
path = sys.argv[1]
"""

SAVED_MODEL = """
import tensorflow as tf
signatures = tf.saved_model.load(path).signatures
outputs = {}
for name, signature in signatures.items():
    wanted = signature.structured_input_signature[1]
    (outputs[name],) = signature(**{key: inputs[key] for key in wanted}).values()
"""

KERAS = """
import keras
model = keras.saving.load_model(path, safe_mode=True, compile=False)
outputs = {"sr": model(inputs["lr"])}
"""

ONNX = """
import onnxruntime
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
outputs = {"sr": session.run(["sr"], {"lr": inputs["lr"]})[0]}
"""

WEIGHTS = """
import json
import keras
arrays = np.load(path, allow_pickle=False)
model = keras.models.model_from_json(json.loads(bytes(arrays["meta"]))["keras"])
for variable in model.weights:
    variable.assign(arrays["/".join(variable.path.split("/")[-2:])])
outputs = {"sr": model(inputs["lr"])}
"""

_SAVE = """
np.savez("outputs.npz", **{name: np.asarray(array) for name, array in outputs.items()})
"""


def run(program: str, model: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Load a model with one of the programs above and return what it gives.

    Args:
        program: Of the model's format.
        model: The file or folder.
        inputs: Arrays by the names the program uses.

    Raises:
        CorruptArtefactError: The model cannot be loaded or run there.
        EnvironmentFault: The temporary folder cannot be written.
    """
    # On the CPU: this process may hold all of a GPU's memory.
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": f"{os.devnull}/keras",  # the user's keras.json is of other projects
    }
    with tempfile.TemporaryDirectory() as folder, disk_errors(Path(folder)):
        np.savez(Path(folder) / "inputs.npz", allow_pickle=False, **dict(inputs))
        done = subprocess.run(
            [sys.executable, "-c", _ALONE + program + _SAVE, str(Path(model).absolute())],
            cwd=folder,
            env={**os.environ, **quiet},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise CorruptArtefactError(
                f"cannot be used without this package ({lines[-1][:300]})",
                path=model,
                remedy="This is a fault in srmri-tf or in a library's version: please report it",
            )
        with np.load(Path(folder) / "outputs.npz", allow_pickle=False) as outputs:
            return dict(outputs)
