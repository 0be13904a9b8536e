"""A training process that is killed, for real and at random moments."""

import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from srmri_tf.models import checkpoint
from srmri_tf.recipes import to_toml
from tests.srmri_tf.training.test_fitting import quick

KILLS = 8


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(shards, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(quick(schedule={"epochs": 4, "warmup_epochs": 2})))

    def start(run):
        arguments = ["fit", "cpce", str(shards), "-o", str(run), "--recipe", str(recipe)]
        code = f"from srmri_tf.cli import main; main({[*arguments, '--devices', '1']!r})"
        return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)

    began = time.monotonic()
    undisturbed = start(tmp_path / "undisturbed")
    assert undisturbed.wait(timeout=300) == 0, undisturbed.stderr.read()
    whole = time.monotonic() - began

    run, rng = tmp_path / "killed", random.Random(0)
    for kill in range(KILLS):
        process = start(run)
        time.sleep(rng.uniform(0.4, 0.95) * whole)
        # Ask as Slurm does, or do not ask at all.
        process.send_signal(signal.SIGTERM if kill % 3 == 2 else signal.SIGKILL)
        assert process.wait(timeout=120) in (-signal.SIGKILL, -signal.SIGTERM, 130, 0)
    process = start(run)
    assert process.wait(timeout=300) == 0, process.stderr.read()

    expected, story = checkpoint.load(tmp_path / "undisturbed" / "checkpoint.npz")
    found, retold = checkpoint.load(run / "checkpoint.npz")
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    timeless = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in s["history"]]
        for s in (story, retold)
    ]
    assert timeless[0] == timeless[1]
    assert not list(run.glob(".srmri-tf-tmp-*"))
