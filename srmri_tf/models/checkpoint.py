"""Save and load arrays with JSON metadata; writes are atomic.

The file is a NumPy .npz: every member carries a CRC that is checked on reading, and reading it
never executes anything. A member ``meta`` holds JSON.
"""

import contextlib
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import CorruptArtefactError
from data_prep.files import atomic_file

_META = "meta"
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises on archives that claim to be encrypted, of the future, or are broken."""


def save(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """Write arrays and JSON-ready ``meta`` beside ``path`` and rename.

    Raises:
        EnvironmentFault: The disk is full or the folder cannot be written; the old file stays.
    """
    with atomic_file(path) as temporary:
        write(temporary, arrays, meta)


def write(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> None:
    """The same without the care: for who renames the file himself.

    Raises:
        OSError: The disk is full or the folder cannot be written.
    """
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_META: text}, **dict(arrays))


def load(path: Path, prefix: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save` wrote.

    Args:
        path: The file.
        prefix: Read only the arrays whose names begin so.

    Raises:
        CorruptArtefactError: The file is cut, changed or of another kind.
    """
    with _opened(path) as file:
        _check_sizes(file.zip, file.zip.infolist())
        wanted = [name for name in file.files if name != _META and name.startswith(prefix)]
        arrays, meta = {name: file[name] for name in wanted}, _meta(file[_META])
    return arrays, meta


def load_meta(path: Path) -> dict[str, Any]:
    """Read the ``meta`` of what `save` wrote, and no array.

    Raises:
        CorruptArtefactError: The file is cut or of another kind, or its ``meta`` is changed.
    """
    with _opened(path) as file:
        _check_sizes(file.zip, [file.zip.getinfo(f"{_META}.npy")])
        return _meta(file[_META])


def check(path: Path) -> None:
    """Check every array of what `save` wrote against its checksum, without keeping any.

    Raises:
        CorruptArtefactError: The file is cut, changed or of another kind.
    """
    with _opened(path) as file:
        if damaged := file.zip.testzip():
            raise zipfile.BadZipFile(f"{damaged} is damaged")


def _meta(text: np.ndarray) -> dict[str, Any]:
    meta = json.loads(bytes(text))
    if not isinstance(meta, dict):
        raise ValueError(f"its {_META} is no JSON object")
    return meta


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except DAMAGE as error:
        raise CorruptArtefactError(
            f"is not a whole checkpoint ({error})",
            path=path,
            remedy="Restore it from a copy, or train into a new folder",
        ) from None


def _check_sizes(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse arrays that would take more memory than the file has bytes, before any is read.

    Raises:
        ValueError: An array is compressed, which `save` never does, or has another size than its
            description says.
    """
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename} is compressed")
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0
            shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(
                file
            )
            size = file.tell() + math.prod(shape) * dtype.itemsize
        if size != member.file_size:
            raise ValueError(f"{member.filename} describes {size} bytes, not {member.file_size}")


def assign(path: Path, variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Give every variable its array; names and shapes must agree exactly.

    Args:
        path: Where the arrays came from, for the error.
        variables: Keras variables by name.
        arrays: Arrays by the same names.

    Raises:
        CorruptArtefactError: It is the checkpoint of another model.
    """
    expected = {name: tuple(v.shape) for name, v in variables.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        odd = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise CorruptArtefactError(
            f"holds the weights of another model: {odd[0]} has shape {found.get(odd[0])}, "
            f"expected {expected.get(odd[0])}",
            path=path,
            remedy="Use the recipe it was trained with",
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
