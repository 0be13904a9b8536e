"""How fast are training pairs read? Against parsing record by record, as tutorials do.

    python benchmarks/read.py [--quick] [--json FILE]

Both read the same shards of random patches from the page cache, shuffled, as float32 batches.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from turns import in_turns, ratio, report

from data_prep.shards import files as shards
from data_prep.shards.schema import encode
from data_prep.shards.tfrecord import Record
from srmri_tf.data.dataset import Shards

SIDE, BATCH = 64, 128
FEATURES = {name: tf.io.FixedLenFeature([], tf.string) for name in ("lr", "hr")}


def make(folder: Path, subjects: int, patches: int, side: int = SIDE) -> Path:
    """Write shards of random patches, as prepare would."""
    rng = np.random.default_rng(0)
    listed = []
    for subject in range(subjects):
        file = f"s{subject:03d}.tfrecord"
        low, high = encode(rng.random((2, patches, side, side), np.float32))
        records = [
            Record(
                low[i].tobytes(), high[i].tobytes(), i // 16, side * (i % 4), side * (i // 4 % 4)
            )
            for i in range(patches)
        ]
        written = shards.write(folder / file, [records])
        listed.append(
            {
                "file": file,
                "subject": f"s{subject:03d}",
                "split": "train",
                "kind": "patches",
                "height": side,
                "width": side,
                "slice_height": 4 * side,
                "slice_width": 4 * side,
                "slices": patches // 16,
                "plane": "axial",
                "spacing": [1, 1, 1],
                "scale": 1.0,
                "source": file,
                "source_sha256": "",
                **written._asdict(),
            }
        )
    manifest = {"schema_version": 1, "software": "", "parameters": {}, "shards": listed}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def one_by_one(folder: Path) -> tf.data.Dataset:
    """What a straightforward reader does."""

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_single_example(record, FEATURES)
        return tuple(
            (tf.cast(tf.io.decode_raw(parsed[k], tf.uint16), tf.float32) - 8192) / 32768
            for k in ("lr", "hr")
        )

    files = sorted(str(path) for path in folder.glob("*.tfrecord"))
    data = tf.data.TFRecordDataset(files).shuffle(8192).map(parse, tf.data.AUTOTUNE)
    return data.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def drain(data: tf.data.Dataset) -> None:
    for _ in data:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer pairs and rounds")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    subjects, patches, rounds = (4, 1024, 3) if args.quick else (16, 2048, 7)
    with tempfile.TemporaryDirectory() as folder:
        opened = Shards.open(make(Path(folder), subjects, patches))
        ours, steps = opened.pairs(BATCH, 0, range(1))
        variants = {
            "ours": lambda: drain(ours),
            "one by one": lambda: drain(one_by_one(Path(folder))),
        }
        seconds = in_turns(variants, rounds)
        started = time.perf_counter()
        Shards.open(folder)
        checked = time.perf_counter() - started
    pairs = steps * BATCH
    figures = {f"pairs/s {n}": pairs / sorted(s)[rounds // 2] for n, s in seconds.items()}
    figures["MB/s verified before the first step"] = subjects * patches * 0.0164 / checked
    report(
        {"vs_one_by_one": ratio(seconds["one by one"], seconds["ours"])},
        figures,
        f"{pairs} random {SIDE}x{SIDE} pairs in {subjects} shards, page cache; no scans",
        args.json,
    )


if __name__ == "__main__":
    main()
