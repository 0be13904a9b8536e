"""Checkpoints are whole, refuse any damage, and never execute anything."""

import errno
import pickle
import tracemalloc
import zipfile

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.errors import CorruptArtefactError, EnvironmentFault
from srmri_tf.models import checkpoint

ARRAYS = {"a/0": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array(7, np.int64)}


def test_arrays_and_meta_come_back(tmp_path):
    path = tmp_path / "c.npz"
    checkpoint.save(path, ARRAYS, {"epoch": 3, "rows": [{"psnr": 1.5}]})
    arrays, meta = checkpoint.load(path)
    assert meta == {"epoch": 3, "rows": [{"psnr": 1.5}]}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_harmless(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("flip") / "c.npz"
    checkpoint.save(path, ARRAYS, {"epoch": 3})
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        arrays, meta = checkpoint.load(path)
    except CorruptArtefactError:
        return
    assert meta == {"epoch": 3}  # a flip in a time stamp of the archive changes nothing we read
    if arrays.keys() == ARRAYS.keys():  # another member name is refused by `assign`
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_cut_file_is_refused(tmp_path, keep):
    path = tmp_path / "c.npz"
    checkpoint.save(path, ARRAYS, {})
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(CorruptArtefactError, match=r"c\.npz"):
        checkpoint.load(path)


def test_the_meta_alone_is_read_without_the_arrays_and_the_check_reads_them_all(tmp_path):
    path = tmp_path / "c.npz"
    checkpoint.save(path, ARRAYS, {"epoch": 3})
    content = bytearray(path.read_bytes())
    content[content.index(ARRAYS["a/0"].tobytes())] ^= 1
    path.write_bytes(content)
    assert checkpoint.load_meta(path) == {"epoch": 3}
    with pytest.raises(CorruptArtefactError, match=r"a/0\.npy is damaged"):
        checkpoint.check(path)
    checkpoint.save(path, ARRAYS, ["no", "object"])
    for read in (checkpoint.load, checkpoint.load_meta):
        with pytest.raises(CorruptArtefactError, match="no JSON object"):
            read(path)
    checkpoint.check(path)


def test_a_pickle_is_not_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    path = tmp_path / "c.npz"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CorruptArtefactError):
        checkpoint.load(path)
    np.savez(path, meta=np.array([Trap()], dtype=object))
    with pytest.raises(CorruptArtefactError):
        checkpoint.load(path)
    assert not (tmp_path / "executed").exists()


def test_another_models_checkpoint_is_refused_before_anything_is_assigned(tmp_path):
    variables = {"a": keras.Variable(np.zeros(3)), "b": keras.Variable(np.zeros(2))}
    with pytest.raises(CorruptArtefactError, match="b has shape"):
        checkpoint.assign(tmp_path / "c.npz", variables, {"a": np.ones(3), "b": np.ones(4)})
    np.testing.assert_array_equal(variables["a"], np.zeros(3))


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    checkpoint.save(path, ARRAYS, {"epoch": 1})

    def full(file, **arrays):
        file.write(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(EnvironmentFault, match="the disk is full") as caught:
        checkpoint.save(path, ARRAYS, {"epoch": 2})
    assert caught.value.exit_code == 5
    assert checkpoint.load(path)[1] == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="file"):
        checkpoint.save(tmp_path / "file" / "c.npz", ARRAYS, {})


def test_an_array_alone_is_no_checkpoint(tmp_path):
    path = tmp_path / "c.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(CorruptArtefactError, match="is not a whole checkpoint"):
        checkpoint.load(path)


def npz(path, shape, content):
    """An archive of one array whose description says any shape."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(content)


def test_an_array_that_claims_more_than_there_is_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "c.npz"
    npz(path, (10**12,), b"1234")
    tracemalloc.start()
    with pytest.raises(CorruptArtefactError, match=r"a\.npy describes 4000\d+ bytes, not 132"):
        checkpoint.load(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_an_archive_that_would_unpack_to_more_than_its_size_is_refused(tmp_path):
    path = tmp_path / "c.npz"
    np.savez_compressed(path, a=np.zeros(10**6, np.float32))
    with pytest.raises(CorruptArtefactError, match=r"a\.npy is compressed"):
        checkpoint.load(path)
