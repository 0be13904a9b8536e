"""VGG-19's convolutions in a file of Keras's HDF5 layout: read whole, checked, written."""

import hashlib
import os
import re
from pathlib import Path

import h5py
import numpy as np

from data_prep import files
from data_prep.errors import BadInputError, CorruptArtefactError

#: Convolution -> (channels in, channels out), in the order of the network. Kernels are 3x3.
LAYERS: dict[str, tuple[int, int]] = {
    "block1_conv1": (3, 64),
    "block1_conv2": (64, 64),
    "block2_conv1": (64, 128),
    "block2_conv2": (128, 128),
    "block3_conv1": (128, 256),
    "block3_conv2": (256, 256),
    "block3_conv3": (256, 256),
    "block3_conv4": (256, 256),
    "block4_conv1": (256, 512),
    "block4_conv2": (512, 512),
    "block4_conv3": (512, 512),
    "block4_conv4": (512, 512),
    "block5_conv1": (512, 512),
    "block5_conv2": (512, 512),
    "block5_conv3": (512, 512),
    "block5_conv4": (512, 512),
}

#: What Keras calls the file that it downloads.
IMAGENET_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def keras_file() -> Path:
    """Where Keras keeps that file."""
    home = os.environ.get("KERAS_HOME", "") or "~/.keras"
    return Path(home).expanduser() / "models" / IMAGENET_FILE


def read_weights(path: Path) -> Arrays:
    """Read and check the sixteen convolutions of a Keras-layout VGG-19 file.

    Returns:
        Layer -> kernel (3, 3, in, out) and bias (out,), float32.

    Raises:
        BadInputError: There is no such file.
        CorruptArtefactError: It is not HDF5, or a layer is missing, of another shape, not finite
            or untrained.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInputError(
            "does not exist" if not path.exists() else "is not a file",
            path=path,
            remedy="Give --vgg-weights auto, imagenet, or a VGG-19 notop .h5 file",
        )
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            arrays = {layer: _read_layer(root, layer, path) for layer in LAYERS}
    except (OSError, RuntimeError, KeyError) as error:
        raise corrupt(path, f"is not a readable HDF5 file ({str(error)[:120]})") from None
    if not any(bias.any() for _, bias in arrays.values()):
        raise corrupt(path, "has only zero biases: the weights of an untrained network")
    return arrays


def content_sha256(arrays: Arrays) -> str:
    """SHA-256 over the weights themselves, whatever file they are in."""
    digest = hashlib.sha256()
    for layer in LAYERS:
        for array in arrays[layer]:
            digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def write_weights(path: Path, arrays: Arrays) -> None:
    """Write the weights in the layout of Keras's own notop file.

    Raises:
        EnvironmentFault: The disk is full or the folder cannot be written.
    """
    with files.atomic_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in arrays]
        file.attrs["backend"] = "tensorflow"
        for layer, (kernel, bias) in arrays.items():
            group = file.create_group(layer)
            names = [f"{layer}_W_1:0", f"{layer}_b_1:0"]
            group.attrs["weight_names"] = [name.encode() for name in names]
            group[names[0]], group[names[1]] = kernel, bias


def _read_layer(root: h5py.Group, layer: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    channels_in, channels_out = LAYERS[layer]
    group = root.get(layer)
    if not isinstance(group, h5py.Group):
        hint = " (is it a VGG-16 file?)" if re.fullmatch(r"block[345]_conv4", layer) else ""
        raise corrupt(path, f"has no layer {layer}{hint}")
    found: dict[tuple[int, ...], h5py.Dataset] = {}
    group.visititems(lambda _, item: found.update(_shape_of(item)))
    arrays = []
    for what, shape in (
        ("kernel", (3, 3, channels_in, channels_out)),
        ("bias", (channels_out,)),
    ):
        if shape not in found or len(found) != 2:
            raise corrupt(path, f"{layer} should hold a {what} {shape}, got {sorted(found)}")
        if found[shape].dtype.kind != "f":
            raise corrupt(path, f"the {what} of {layer} is {found[shape].dtype}, not float")
        array = np.asarray(found[shape][()], np.float32)
        if not np.isfinite(array).all():
            raise corrupt(path, f"the {what} of {layer} has values that are not finite")
        arrays.append(array)
    if not arrays[0].any():
        raise corrupt(path, f"the kernel of {layer} is all zero")
    return arrays[0], arrays[1]


def _shape_of(item: object) -> dict[tuple[int, ...], h5py.Dataset]:
    return {item.shape: item} if isinstance(item, h5py.Dataset) else {}


def corrupt(path: Path, fault: str) -> CorruptArtefactError:
    """The error for a file that is not these weights."""
    return CorruptArtefactError(
        fault,
        path=path,
        remedy="A VGG-19 file without its top in Keras's HDF5 layout is expected",
    )
