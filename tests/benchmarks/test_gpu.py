"""The benchmark of CUDA machines, dry-run on a processor."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.sh"


def run(*arguments, **environment):
    return subprocess.run(
        ["bash", str(SCRIPT), *map(str, arguments)],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_dry_run_goes_the_whole_way_and_writes_one_json(tmp_path):
    # An interpreter without PyTorch: its rows are absent, and a note says why.
    bare = tmp_path / "python"
    bare.write_text('#!/bin/sh\necho "No module named torch" >&2\nexit 1\n')
    bare.chmod(0o755)
    done = run("--dry-run", "--json", tmp_path / "gpu.json", TORCH_PYTHON=str(bare))
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found.keys() == {"ratios", "figures", "machine", "data"}
    assert found["machine"]["tensorflow"]
    for name in ("cpce", "circle"):
        assert found["figures"][f"{name}, float32: ms a step"] > 0
        assert found["figures"][f"{name}, float32, XLA: ms a step"] > 0
        assert found["ratios"][f"{name}_bfloat16_vs_float32"] > 0
        assert found["ratios"][f"{name}_float32_2_devices_vs_1"] > 0
    assert found["figures"]["enhance, float32: seconds"] > 0
    assert any("No module named torch" in note for note in found["figures"]["notes"])
    assert not any(note.startswith(("cpce", "circle")) for note in found["figures"]["notes"])


@pytest.mark.slow
def test_without_a_gpu_it_says_what_to_look_at():
    done = run(CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 1
    assert "TensorFlow sees no GPU. `nvidia-smi` shows" in done.stderr
