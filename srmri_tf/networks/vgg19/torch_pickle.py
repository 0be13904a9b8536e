"""Read the tensors of a ``.pth`` state dictionary without PyTorch and without running anything.

Only the legacy layout (before PyTorch 1.6) is read: five pickles (a magic number, the protocol
version, the machine's type sizes, the dictionary, the storage keys) and then, for each storage key,
an int64 element count and the elements. A pickle can name any function for the reader to call; here
it may name three things, all of them inert, and everything else is refused.

Source: https://docs.pytorch.org/docs/stable/notes/serialization.html; the layout itself is written
in ``torch/serialization.py``, ``_legacy_save``.
"""

import collections
import math
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from data_prep.errors import BadInputError, CorruptArtefactError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_ANOTHER = "Give another file"


@dataclass(frozen=True)
class _Storage:
    """A reference to one storage: its key and the number of its float32 elements."""

    key: str
    elements: int


@dataclass(frozen=True)
class _Tensor:
    """A reference to a contiguous tensor in a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Read every float32 tensor of a legacy PyTorch state dictionary.

    Args:
        path: The ``.pth`` file.

    Returns:
        Name -> float32 array in PyTorch's own axis order.

    Raises:
        BadInputError: There is no such file.
        CorruptArtefactError: The file is damaged, of another kind, or asks for code to be run.
    """
    try:
        with Path(path).open("rb") as stream:
            return _read(stream)
    except FileNotFoundError:
        raise BadInputError("does not exist", path=path, remedy="Check its name") from None
    except CorruptArtefactError as error:
        raise CorruptArtefactError(error.fault, path=path, remedy=error.remedy) from None
    # What a damaged pickle makes the unpickler raise is not limited to its own error class.
    except (
        pickle.UnpicklingError,
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        raise CorruptArtefactError(
            f"is not a readable PyTorch weight file ({type(error).__name__}: {error})",
            path=path,
            remedy=_ANOTHER,
        ) from None


class _InertUnpickler(pickle.Unpickler):
    """Builds plain containers, numbers, strings and tensor references, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Map the three permitted names to inert stand-ins and refuse every other."""
        match (module, name):
            case ("collections", "OrderedDict"):
                return _Dictionary
            case ("torch._utils", "_rebuild_tensor_v2"):
                return _rebuild_tensor
            case ("torch", "FloatStorage"):
                return "float32"
        raise CorruptArtefactError(
            f"asks to run {module}.{name}, which a weight file has no need of",
            remedy="Do not use this file",
        )

    def persistent_load(self, reference: Any) -> _Storage:
        """Turn ('storage', type, key, device, elements, view) into a reference."""
        kind, dtype, key, _device, elements, view = reference
        if kind != "storage" or dtype != "float32" or view is not None:
            raise _damaged(f"holds an unsupported storage {reference!r}")
        return _Storage(str(key), int(elements))


class _Dictionary(collections.OrderedDict):
    """An ordered dictionary that ignores the attributes a state dictionary carries."""

    def __setstate__(self, state: Any) -> None:
        """Leave out PyTorch's ``_metadata``."""


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, _requires_grad: Any, _hooks: Any
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise _damaged("holds a tensor without a storage")
    shape = tuple(int(side) for side in shape)
    contiguous = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    if any(side <= 0 for side in shape) or tuple(stride) != contiguous:
        raise _damaged(f"holds a tensor of shape {shape} that is not contiguous")
    if offset < 0 or offset + math.prod(shape) > storage.elements:
        raise _damaged(f"holds a tensor of shape {shape} larger than its storage")
    return _Tensor(storage, int(offset), shape)


def _read(stream: IO[bytes]) -> dict[str, np.ndarray]:
    if _InertUnpickler(stream).load() != MAGIC or _InertUnpickler(stream).load() != PROTOCOL:
        raise _damaged("is not a PyTorch weight file of the legacy layout")
    machine = _InertUnpickler(stream).load()
    if machine.get("little_endian") is not True:
        raise _damaged("was written on a big-endian machine, which is not supported")
    tensors = _InertUnpickler(stream).load()
    keys = _InertUnpickler(stream).load()
    if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
        raise _damaged("is not a dictionary of tensors")
    wanted = {tensor.storage.key: tensor.storage.elements for tensor in tensors.values()}
    storages = {key: _read_storage(stream, wanted[key]) for key in keys}
    return {
        name: storages[tensor.storage.key][tensor.offset :][: math.prod(tensor.shape)].reshape(
            tensor.shape
        )
        for name, tensor in tensors.items()
    }


def _read_storage(stream: IO[bytes], elements: int) -> np.ndarray:
    stated = int.from_bytes(stream.read(8), "little")
    if stated != elements:
        raise _damaged(f"states {stated} elements where {elements} were expected")
    # Checked before reading: a stated size must not take memory that the file cannot fill.
    if 4 * elements > os.fstat(stream.fileno()).st_size - stream.tell():
        raise _damaged("is cut short")
    return np.frombuffer(stream.read(4 * elements), "<f4")


def _damaged(fault: str) -> CorruptArtefactError:
    return CorruptArtefactError(fault, remedy=_ANOTHER)
