import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data_prep.phantoms import phantom, save

# A worker's own code, in this process, so that its largest size can be read.
WORKER = """
import sys
from pathlib import Path
from data_prep.prepare.pipeline import PrepareConfig, prepare

def largest():  # not ru_maxrss, which a child inherits from its parent
    status = Path("/proc/self/status").read_text()
    return status.split("VmHWM:")[1].split()[0]

before = largest()
prepare([Path(sys.argv[1])], Path(sys.argv[2]), PrepareConfig())
print(before, largest())
"""
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the largest size is read from /proc"
)
SHAPE = (256, 256, 150)
VOLUME_KB = np.prod(SHAPE) * 4 / 1024
WORKSPACE_KB = 32 * 1024  # a few slices in transformation, and the library's own


def largest(scans, out) -> tuple[float, float]:
    """Largest resident size in KiB before and after preparing."""
    command = [sys.executable, "-c", WORKER, str(scans), str(out)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = result.stdout.split()
    shutil.rmtree(out)
    return float(before), float(after)


def copies(folder, count):
    folder.mkdir()
    first = save(folder / "s_visit0.nii.gz", phantom(SHAPE).astype(np.int16))
    for number in range(1, count):
        (folder / f"s_visit{number}.nii.gz").hardlink_to(first)
    return folder


def test_a_worker_needs_no_more_than_two_volumes(tmp_path):
    before, after = largest(copies(tmp_path / "few", 2), tmp_path / "out")
    assert after - before < 2 * VOLUME_KB + WORKSPACE_KB


@pytest.mark.slow
def test_a_hundred_copies_need_no_more_memory_than_two(tmp_path):
    before, few = largest(copies(tmp_path / "few", 2), tmp_path / "out")
    _, many = largest(copies(tmp_path / "many", 100), tmp_path / "out")
    assert many - before < 2 * VOLUME_KB + WORKSPACE_KB
    assert many - few < VOLUME_KB
