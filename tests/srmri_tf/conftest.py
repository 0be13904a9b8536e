"""Small shards written by TensorFlow itself, independently of data_prep's own writer."""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from srmri_tf.models import checkpoint

# Two logical devices on one CPU, so that distribution is tested everywhere.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def rewrite_graphs(on: bool) -> None:
    """Whether TensorFlow rewrites graphs before it runs them, to make them faster."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not on})


# Most graphs here run once: rewriting them would take longer than running them as they are written.
# test_gradients looks at rewritten ones, and the commands that tests start have them, too.
rewrite_graphs(False)

SIDE = 32
PATCH = 16


def image_pair(subject: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """A (SIDE, SIDE) truth and a blurred version of it, both exactly representable."""
    seed = int.from_bytes(hashlib.sha256(f"{subject}{index}".encode()).digest()[:4], "big")
    noise = np.random.default_rng(seed).random((SIDE + 2, SIDE + 2))
    hr = noise[1:-1, 1:-1]
    lr = sum(noise[r : r + SIDE, c : c + SIDE] for r in range(3) for c in range(3)) / 9
    return tuple((np.rint(x * 32768) / 32768).astype(np.float32) for x in (lr, hr))


def _example(lr: np.ndarray, hr: np.ndarray, index: int, row: int, col: int) -> bytes:
    def codes(x: np.ndarray) -> tf.train.Feature:
        raw = (x * 32768 + 8192).astype("<u2").tobytes()
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[raw]))

    def number(x: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[x]))

    features = {
        "lr": codes(lr),
        "hr": codes(hr),
        "slice": number(index),
        "row": number(row),
        "col": number(col),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _records(subject: str, side: int, slices: int) -> list[bytes]:
    records = []
    for index in range(slices):
        lr, hr = image_pair(subject, index)
        for row in range(0, SIDE, side):
            for col in range(0, SIDE, side):
                window = np.s_[row : row + side, col : col + side]
                records.append(_example(lr[window], hr[window], index, row, col))
    return records


def make_shards(folder: Path, splits: dict[str, str], slices: int = 4, patch: int = PATCH) -> Path:
    """Write a shard folder: subject -> split."""
    folder.mkdir(parents=True)
    shards = []
    for subject, split in splits.items():
        kind = "patches" if split == "train" else "slices"
        side = patch if kind == "patches" else SIDE
        path = folder / f"{subject}.tfrecord"
        records = _records(subject, side, slices)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                writer.write(record)
        content = path.read_bytes()
        shards.append(
            {
                "file": path.name,
                "subject": subject,
                "split": split,
                "kind": kind,
                "records": len(records),
                "height": side,
                "width": side,
                "slice_height": SIDE,
                "slice_width": SIDE,
                "slices": slices,
                "plane": "axial",
                "spacing": [1.0, 1.0, 3.0],
                "scale": 1000.0,
                "source": f"{subject}.nii.gz",
                "source_sha256": hashlib.sha256(subject.encode()).hexdigest(),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )
    manifest = {
        "schema_version": 1,
        "software": "test",
        "parameters": {"patch_size": patch},
        "shards": shards,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@contextlib.contextmanager
def kept_as_if_killed(folder: Path) -> Iterator[None]:
    """Copy every run as a kill while an epoch is saved leaves it: to ``folder``/(epochs saved)."""
    save = checkpoint.save

    def copy_and_save(path, arrays, meta):
        if path.name == "checkpoint.npz":
            shutil.copytree(path.parent, folder / str(len(meta["history"]) - 1))
        save(path, arrays, meta)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", copy_and_save)
        yield


@pytest.fixture(scope="module")
def small_networks():
    """Networks that are quick to trace in place of the real ones, each traced once.

    test_own_networks, test_gradients and test_kill train and resume the real ones.
    """
    from tests.srmri_tf.small import use_small_networks
    from tests.srmri_tf.traced import share_traced_steps

    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(patch)
        share_traced_steps(patch)
        yield


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Where a run leaves copies of itself as if it had been killed after so many epochs."""
    return tmp_path_factory.mktemp("killed")


def without_checksums(run: Path) -> None:
    """Make a RUN what version 0.1 wrote: its settings can be edited."""
    facts = json.loads((run / "run.json").read_text())
    del facts["sha256"], facts["config_sha256"]
    (run / "run.json").write_text(json.dumps(facts))


@pytest.fixture(autouse=True)
def _collective_keys_of_its_own():
    """TensorFlow numbers collectives per strategy and remembers shapes by number per process."""
    tf.distribute.MirroredStrategy._collective_key_base += 1000


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> Path:
    """Two training subjects, one for validation and two for testing; 32 training pairs."""
    splits = {"s1": "train", "s2": "train", "s3": "val", "s4": "test", "s5": "test"}
    return make_shards(tmp_path_factory.mktemp("data") / "shards", splits)


@pytest.fixture(scope="session")
def shard_maker():
    """The function itself, for tests that need other folders."""
    return make_shards
