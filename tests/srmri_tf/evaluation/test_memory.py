"""Evaluation in a process of its own: what it needs does not grow with the data."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_prep.shards import files
from data_prep.shards.schema import encode
from data_prep.shards.tfrecord import Record
from tests.srmri_tf.evaluation.test_measuring import PARAMETERS, make_run

SIDE = 192
SLICE_KB = SIDE * SIDE * 4 / 1024
WORKER = """
import sys
from pathlib import Path
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.evaluation.config import EvaluateConfig

def tell(done, total, subject):
    if done in (100, total):  # not ru_maxrss, which a child inherits from its parent
        print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

run, shards, out = map(Path, sys.argv[1:])
evaluate([run], shards, out, EvaluateConfig(slices="4"), tell)
"""


def one_subject(folder, slices):
    """One test subject of so many slices of noise, LR and HR alike to a tenth."""
    folder.mkdir()
    rng = np.random.default_rng(0)

    def records():
        for number in range(slices):
            hr = rng.random((SIDE, SIDE), np.float32)
            lr = hr + 0.1 * rng.random((SIDE, SIDE), np.float32)
            low, high = encode(np.stack([lr, hr]))
            yield [Record(low.tobytes(), high.tobytes(), number, 0, 0)]

    written = files.write(folder / "a.tfrecord", records())
    shard = {
        "file": "a.tfrecord",
        "subject": "a",
        "split": "test",
        "kind": "slices",
        "height": SIDE,
        "width": SIDE,
        "slice_height": SIDE,
        "slice_width": SIDE,
        "slices": slices,
        "plane": "axial",
        "spacing": [1, 1, 1],
        "scale": 1.0,
        "source": "a.nii.gz",
        "source_sha256": "",
        **written._asdict(),
    }
    manifest = {"schema_version": 1, "software": "", "parameters": PARAMETERS, "shards": [shard]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the largest size is read from /proc"
)
def test_two_hundred_slices_need_no_more_memory_than_one_hundred(tmp_path):
    """The libraries' buffers grow once, by 20 MB, somewhere in the first hundred."""
    run = make_run(tmp_path / "run", train=["b"])
    folders = [run, one_subject(tmp_path / "data", 200), tmp_path / "out"]
    result = subprocess.run(
        [sys.executable, "-c", WORKER, *map(str, folders)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    few, many = map(float, result.stdout.split())
    # A quarter of what keeping a single image of every slice would take.
    assert many - few < 100 * SLICE_KB / 4
    lines = (tmp_path / "out" / "slices.tsv").read_text().splitlines()
    assert len(lines) == 1 + 200 * 3  # lr, run, bicubic
