"""Every benchmark that has ``--quick`` and makes its own data, run as users run it."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NEED_PYTORCH = {"enhance", "train_circle", "train_cpce"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["allocator", "evaluate", "prepare", "read", "replicas", *sorted(NEED_PYTORCH)],
)
def test_it_ends_and_writes_what_it_measured(name, tmp_path):
    if name in NEED_PYTORCH:
        pytest.importorskip("torch", reason="measures against PyTorch")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", "--quick", "--json", tmp_path / "out.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found.keys() == {"ratios", "figures", "machine", "data"}
    assert found["ratios"]
    assert all(math.isfinite(r) and r > 0 for r in found["ratios"].values()), found["ratios"]
