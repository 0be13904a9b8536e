"""`export`: a trained network as a file that other programs can load without this package.

The name of the result decides the format:

============== ==============================================================
``NAME.keras`` a functional model of Keras's own layers
``NAME.onnx``  the same for ONNX runtimes, for odd sides, too (extra ``onnx``)
``NAME.npz``   weights and description, the smallest; shipped models are kept so
any folder     a SavedModel with the signatures of `saved_model`
============== ==============================================================

In each is its description (`card.Metadata`). Each is read back by a process that cannot import this
package before it takes its place.
"""

import errno
import importlib.util
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_prep.errors import ConfigError, CorruptArtefactError, EnvironmentFault
from data_prep.files import atomic_file, atomic_folder, refuse_to_replace
from srmri_tf.models import checkpoint, export_check
from srmri_tf.models.card import markdown
from srmri_tf.models.saved_model import Graphs
from srmri_tf.models.stored import MEMBER, Stored, check_degradation, read, refuse_pattern

TOLERANCE = 1e-5
"""Largest difference between a format and the network, as a part of the largest intensity or 1."""

OPSET = 17
AXES = ("batch", "height", "width")
"""What ONNX calls the axes of input and output that may have any length."""

_ONNX_NEEDS = ("tf2onnx", "onnx", "onnxruntime")
_SAVED_MODEL = ("saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra")
_OTHER_FORMATS = (".h5", ".hdf5", ".pb", ".pt", ".pth", ".safetensors", ".tflite", ".zip")


def export(model: str | Path, out: str | Path, overwrite: bool = False) -> Path:
    """Write a MODEL in the format that ``out`` ends in, and read it back elsewhere.

    Args:
        model: A shipped model's name, a RUN folder (its best epoch), or an exported model.
        out: The file, or the SavedModel's folder.
        overwrite: Replace what is there, if it is of the same format.

    Raises:
        ConfigError: ``out`` holds something already, or ends in the name of another format.
        BadInputError: There is no such model, it has no finished epoch, or its degradation is
            unknown or not twofold.
        CorruptArtefactError: The model's weights are damaged, or what was written does not agree.
        EnvironmentFault: The folder cannot be written, or an optional package is missing.
    """
    out = Path(out)
    write = _writer(out)
    _refuse_existing(out, overwrite)
    stored = read(model)
    check_degradation(stored, model)
    write(stored, out)
    return out


def _writer(out: Path) -> Callable[[Stored, Path], None]:
    ours = {".keras": _write_keras, ".onnx": _write_onnx, ".npz": _write_npz}
    if out.suffix not in ours and out.suffix.lower() in (*_OTHER_FORMATS, *ours):
        raise ConfigError(
            f"ends in {out.suffix}, which is none of the formats there are",
            path=out,
            remedy="Give a name that ends in .keras, .onnx or .npz, or a folder for a SavedModel",
        )
    if out.suffix == ".onnx":
        _need_onnx()
    return ours.get(out.suffix, _write_saved_model)


def _refuse_existing(out: Path, overwrite: bool) -> None:
    is_file = out.suffix in (".keras", ".onnx", ".npz")
    if is_file and out.is_dir():
        raise ConfigError("is a folder, not a file", path=out, remedy="Choose another name for -o")
    if not is_file:
        refuse_pattern(out)
        refuse_to_replace(out, "a SavedModel", _SAVED_MODEL)
    there = out if is_file else out / "saved_model.pb"
    if there.exists() and not overwrite:
        raise ConfigError(
            "is there already" if is_file else "already holds a SavedModel",
            path=out,
            remedy="Give --overwrite to replace it",
        )


def _write_saved_model(stored: Stored, out: Path) -> None:
    graphs = Graphs(stored)
    with atomic_folder(out) as folder, _quiet():
        try:
            tf.saved_model.save(graphs, str(folder), signatures=graphs.signatures())
        except tf.errors.ResourceExhaustedError as error:
            if "No space left" not in str(error):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        extra = folder / "assets.extra"
        extra.mkdir()
        (extra / MEMBER).write_text(stored.metadata().to_json(), encoding="utf-8")
        if stored.card:
            (extra / "card.md").write_text(markdown(stored.card), encoding="utf-8")
        _check_signatures(stored, graphs, folder, out)


def _check_signatures(stored: Stored, graphs: Graphs, folder: Path, out: Path) -> None:
    """Compare every signature's pixels with what this process computes."""
    lr, image, scale = _test_slices(odd=True), 4095 * _test_slices(odd=True), np.array(4000, "f4")
    with tf.device("CPU"):
        sr = stored.generator()(lr)
        expected = {
            "serving_default": sr,
            "sr": sr,
            "enhance": graphs.enhanced(tf.constant(image)),
            "enhance_with_scale": graphs.enhanced(tf.constant(image), tf.constant(scale)),
            "enhance_consistent": graphs.enhanced(
                tf.constant(image), tf.constant(scale), consistent=True
            ),
        }
    found = export_check.run(
        export_check.SAVED_MODEL, folder, {"lr": lr, "image": image, "scale": scale}
    )
    for name, pixels in expected.items():
        _compare(out, name, found[name], np.asarray(pixels))


def _write_keras(stored: Stored, out: Path) -> None:
    with atomic_file(out) as temporary:
        with _described_by_keras(stored, out):
            stored.stock().save(temporary)
        with zipfile.ZipFile(temporary, "a") as archive:
            archive.writestr(MEMBER, stored.metadata().to_json())
        _check(stored, out, temporary, export_check.KERAS)


def _write_npz(stored: Stored, out: Path) -> None:
    described = stored.metadata().model_dump(mode="json", exclude_none=True)
    # With Keras's own description of the layers, stock Keras can use the weights.
    with _described_by_keras(stored, out):
        meta = {"model": described, "keras": stored.stock().to_json()}
    with atomic_file(out) as temporary:
        checkpoint.write(temporary, stored.weights, meta)
        _check(stored, out, temporary, export_check.WEIGHTS)


@contextmanager
def _described_by_keras(stored: Stored, out: Path) -> Iterator[None]:
    """Refuse a generator of the user's own class, which Keras cannot describe."""
    try:
        yield
    except NotImplementedError as error:
        why = "Keras can describe no subclass of keras.Model without get_config"
        raise _cannot_hold(stored, out, why) from error


def _cannot_hold(stored: Stored, out: Path, why: str) -> ConfigError:
    """The error of a generator of the user's own that a format of Keras cannot hold."""
    return ConfigError(
        f"cannot hold {stored.options.get('function', 'this network')}: {why}",
        path=out,
        remedy="Give -o a folder, for a SavedModel, or NAME.onnx; or build the network of "
        "keras.Input, keras.Model and Keras's own layers without Lambda",
    )


def _write_onnx(stored: Stored, out: Path) -> None:
    import onnx
    import tf2onnx

    graphs = Graphs(stored)
    spec = tf.TensorSpec([None, None, None, 1], tf.float32, name="lr")
    super_resolve = tf.function(lambda lr: {"sr": graphs.super_resolved(lr)})
    with _quiet():
        model, _ = tf2onnx.convert.from_function(super_resolve, [spec], opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, AXES, strict=False):
            axis.dim_param = name
    onnx.helper.set_model_props(model, {"srmri-tf": stored.metadata().to_json()})
    model.doc_string = f"{stored.name}: input lr, output sr, docs/export.md of srmri-tf"
    onnx.checker.check_model(model)
    with atomic_file(out) as temporary:
        onnx.save(model, str(temporary))
        _check(stored, out, temporary, export_check.ONNX, odd=True)


def _check(stored: Stored, out: Path, written: Path, program: str, *, odd: bool = False) -> None:
    """Compare a file's pixels with the network's, of slices of odd sides if it takes them."""
    lr = _test_slices(odd)
    with tf.device("CPU"):
        sr = np.asarray(stored.generator()(lr))
    try:
        found = export_check.run(program, written, {"lr": lr})["sr"]
    except CorruptArtefactError as error:
        if "function" in stored.options and program != export_check.ONNX:
            raise _cannot_hold(stored, out, error.fault) from None
        raise CorruptArtefactError(error.fault, path=out, remedy=error.remedy) from None
    _compare(out, "sr", found, sr)


def _compare(out: Path, output: str, found: np.ndarray, expected: np.ndarray) -> None:
    difference = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
    if not difference <= TOLERANCE:
        raise CorruptArtefactError(
            f"{output} differs from the network's by {difference:.1e} of the range, not at most "
            f"{TOLERANCE}",
            path=out,
            remedy="This is a fault in srmri-tf or in a library's version: please report it",
        )


def _test_slices(odd: bool = False) -> np.ndarray:
    """Smooth noise in [0, 1]: two slices, not square."""
    noise = np.random.default_rng(0).random((2, 40 + odd, 34 - odd, 1), np.float32)
    return (noise + np.roll(noise, 1, 1) + np.roll(noise, 1, 2)) / 3


def _need_onnx() -> None:
    missing = [name for name in _ONNX_NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentFault(
            f"ONNX needs packages that are not installed: {', '.join(missing)}",
            remedy="Install them with: pip install 'srmri-tf[onnx]'",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' remarks off the terminal; what goes wrong is an exception."""
    loggers = [logging.getLogger(name) for name in ("tensorflow", "tf2onnx", "absl")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
