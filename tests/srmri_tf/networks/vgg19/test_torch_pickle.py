import collections
import io
import pickle
import struct

import numpy as np
import pytest

from data_prep.errors import BadInputError, CorruptArtefactError
from srmri_tf.networks.vgg19.torch_pickle import MAGIC, PROTOCOL, read_state_dict


class Global:
    """Pickles as a reference to any name, without that module being there."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickles as a call of a `Global`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class Storage:
    def __init__(self, key, elements, dtype="FloatStorage"):
        self.key, self.elements, self.dtype = key, elements, dtype


class Pickler(pickle._Pickler):
    """Writes the objects above as PyTorch writes its own."""

    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            kind = Global("torch", thing.dtype)
            return ("storage", kind, thing.key, "cpu", thing.elements, None)
        return None

    def save(self, thing, save_persistent_id=True):
        if isinstance(thing, Global):
            self.write(b"c" + f"{thing.module}\n{thing.name}\n".encode())
        elif isinstance(thing, Call):
            self.save(thing.function)
            self.save(thing.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(thing, save_persistent_id)


def dumped(thing):
    buffer = io.BytesIO()
    Pickler(buffer, 2).dump(thing)
    return buffer.getvalue()


def tensor(storage, shape, stride=None, offset=0):
    stride = stride or tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, storage, offset, shape, stride, False, None)


def pth(path, state, storages, magic=MAGIC, machine=None):
    """Write a legacy .pth by hand: ``storages`` maps a key to its float32 elements."""
    heads = (magic, PROTOCOL, machine or {"little_endian": True}, state, list(storages))
    tail = b"".join(
        struct.pack("<q", a.size) + a.astype("<f4").tobytes() for a in storages.values()
    )
    path.write_bytes(b"".join(map(dumped, heads)) + tail)
    return path


@pytest.fixture
def values():
    return np.arange(24, dtype=np.float32) / 7


def test_tensors_come_back_exactly(tmp_path, values):
    state = {
        "conv.weight": tensor(Storage("a", 24), (2, 3, 4)),
        "conv.bias": tensor(Storage("b", 3), (3,)),
        "shared": tensor(Storage("a", 24), (2, 2), offset=4),
    }
    bias = np.float32([1, -2, 3e-20])
    found = read_state_dict(pth(tmp_path / "w.pth", state, {"b": bias, "a": values}))
    np.testing.assert_array_equal(found["conv.weight"], values.reshape(2, 3, 4))
    np.testing.assert_array_equal(found["conv.bias"], bias)
    np.testing.assert_array_equal(found["shared"], values[4:8].reshape(2, 2))


@pytest.mark.parametrize("module", ["os", "posix", "builtins", "subprocess", "torch"])
def test_code_is_refused_and_not_run(tmp_path, values, module):
    evidence = tmp_path / "evidence"
    name = {"builtins": "eval", "subprocess": "call", "torch": "load"}.get(module, "system")
    command = {"builtins": f"open({str(evidence)!r}, 'w')"}.get(module, f"touch {evidence}")
    state = {"w": tensor(Storage("a", 24), (24,)), "x": Call(Global(module, name), command)}
    with pytest.raises(CorruptArtefactError, match=f"{module}.{name}"):
        read_state_dict(pth(tmp_path / "w.pth", state, {"a": values}))
    assert not evidence.exists()


@pytest.mark.parametrize("part", ["magic", "machine", "keys"])
def test_code_in_any_of_the_five_pickles(tmp_path, values, part):
    bad = Call(Global("os", "system"), f"touch {tmp_path / 'evidence'}")
    state = {"w": tensor(Storage("a", 24), (24,))}
    heads = {"magic": MAGIC, "protocol": PROTOCOL, "machine": {"little_endian": True}}
    heads |= {"state": state, "keys": ["a"], part: bad}
    (tmp_path / "w.pth").write_bytes(b"".join(map(dumped, heads.values())))
    with pytest.raises(CorruptArtefactError, match=r"os\.system"):
        read_state_dict(tmp_path / "w.pth")
    assert not (tmp_path / "evidence").exists()


@pytest.mark.parametrize(
    "entry",
    [
        tensor(Storage("a", 24), (25,)),
        tensor(Storage("a", 24), (24,), offset=1),
        tensor(Storage("a", 24), (24,), offset=-1),
        tensor(Storage("a", 24), (4, 6), stride=(1, 4)),
        tensor(Storage("a", 24), (-24,)),
        tensor(Storage("a", 23), (23,)),
        tensor(Storage("a", 10**15), (24,)),
        tensor(Storage("gone", 24), (24,)),
        tensor(Storage("a", 24, dtype="HalfStorage"), (24,)),
        tensor("no storage", (24,)),
        "no tensor",
        collections.OrderedDict(),
    ],
)
def test_inconsistent_tensors(tmp_path, values, entry):
    with pytest.raises(CorruptArtefactError, match=r"w\.pth"):
        read_state_dict(pth(tmp_path / "w.pth", {"w": entry}, {"a": values}))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 a zip", b"text", dumped(17), dumped(MAGIC)])
def test_other_files(tmp_path, data):
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(CorruptArtefactError, match=r"w\.pth"):
        read_state_dict(tmp_path / "w.pth")


def test_every_cut(tmp_path, values):
    whole = pth(tmp_path / "w.pth", {"w": tensor(Storage("a", 24), (24,))}, {"a": values})
    data = whole.read_bytes()
    for end in range(len(data)):
        whole.write_bytes(data[:end])
        with pytest.raises(CorruptArtefactError):
            read_state_dict(whole)


def test_big_endian_and_missing(tmp_path, values):
    state = {"w": tensor(Storage("a", 24), (24,))}
    path = pth(tmp_path / "w.pth", state, {"a": values}, machine={"little_endian": False})
    with pytest.raises(CorruptArtefactError, match="big-endian"):
        read_state_dict(path)
    with pytest.raises(BadInputError):
        read_state_dict(tmp_path / "none.pth")
