"""How fast is `enhance`? From file to file, against the bare network and against PyTorch.

    pip install torch
    python benchmarks/enhance.py [--quick] [--scan SCAN] [--json FILE]

A phantom of 128 x 128 x 130 int16 voxels becomes one of 256 x 256 x 130: reading, checking,
zero-filling, the network, data consistency, the affine, compressing and writing, and opening the
model, too. The bare network (GAN-CPCE, the compiled graph that `enhance` itself uses) and the same
network in PyTorch (channels-last, inference mode) get the finished 256 x 256 slices as an array and
give one back: the bare network four slices at a time, PyTorch one or four, whichever is faster in
either precision. All have the same random weights and are compared first. The phantom fills its
slices, so that every pixel goes through the network. PyTorch runs in the same process and so has
the same allocator.

Ratios: ``time_vs_bare_network`` is our time over the bare network's (at most 1.15 wanted),
``float32_vs_torch`` and ``bfloat16_vs_torch`` are PyTorch's time over ours (at least 1 wanted).
What the latter could be at most, the figures say: PyTorch's time over that of the network's
arithmetic alone, at the rate of a large, regular convolution. ``box_gain`` is the time of a scan
whose whole slices go through the network over the time with the box around the head alone (at
least 1.25 wanted): of SCAN if one is given, else of a phantom of an ellipse.

bfloat16 is measured where the processor multiplies it natively. ``--quick`` takes 16 slices, fewer
rounds and float32 alone: then opening the model weighs more.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import patch

from srmri_tf.cli import process

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
process.configure()

import numpy as np
import tensorflow as tf
import torch
from made import make_run, make_scan
from parts import Part, arrays_of, large_convolution
from torch_cpce import GENERATOR, Generator
from turns import in_turns, ratio, report

from data_prep.kspace import upsampled
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.files import enhance
from srmri_tf.enhance.worklist import make_worklist
from srmri_tf.models import head
from srmri_tf.models.model import load_network
from srmri_tf.networks.precision import resolve_precision

TORCH_BATCHES = (1, 4)
REPEATS = 10
WEIGHTS = 62_016
CLI = "from srmri_tf.cli import main; main()"


def in_torch(weights: list[np.ndarray], slices: np.ndarray, bfloat16: bool, batch: int) -> Callable:
    """The network in PyTorch, from a NumPy array to a NumPy array."""
    network = Generator().to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        for parameter, array in zip(network.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(array.transpose(3, 2, 0, 1).copy()))

    def call() -> np.ndarray:
        found = []
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for start in range(0, len(slices), batch):
                images = torch.from_numpy(slices[start : start + batch, None])
                found.append(network(images.contiguous(memory_format=torch.channels_last)))
        return torch.cat(found).numpy()[:, 0]

    return call


def several(part: Part) -> Callable:
    """Takes a part `REPEATS` times."""
    once = tf.function(part.call)

    def call() -> None:
        for _ in range(REPEATS):
            once()

    return call


def torch_name(precision: str, batch: int) -> str:
    return f"torch {precision}, {batch} at a time"


def peak_memory(scan: Path, run: Path, out: Path) -> float:
    """GiB of a process that does nothing but `srmri-tf enhance`."""
    command = [sys.executable, "-c", CLI, "enhance", scan, "--model", run, "-o", out]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


def contenders(scan: Path, run: Path, precision: str, slices: np.ndarray) -> dict[str, Callable]:
    """All that does the same work in a precision: our command, our network, PyTorch's."""
    network = load_network(run, precision)
    weights = arrays_of(network.generator, GENERATOR)
    worklist = make_worklist([scan], scan.with_name("out.nii.gz"))
    config = EnhanceConfig(model=str(run), precision=precision)
    found: dict[str, Callable] = {
        f"enhance {precision}": lambda: list(enhance(worklist, config, overwrite=True)),
        f"bare network {precision}": lambda: network.super_resolve(slices),
    }
    for batch in TORCH_BATCHES:
        theirs = in_torch(weights, slices, precision == "bfloat16", batch)
        found[torch_name(precision, batch)] = theirs
    return found


def difference(variants: Mapping[str, Callable]) -> float:
    """Between our network's result and PyTorch's, relative to the largest pixel."""
    ours, theirs = variants["bare network float32"](), variants[torch_name("float32", 1)]()
    return float(np.abs(ours - theirs).max() / np.abs(ours).max())


def peak_ratios(
    seconds: Mapping[str, list[float]], precision: str, gflop: float
) -> tuple[dict[str, float], dict[str, float]]:
    """PyTorch's time over ours; and over the arithmetic's alone, with its seconds."""
    batches = [seconds[torch_name(precision, batch)] for batch in TORCH_BATCHES]
    fastest = min(batches, key=statistics.median)
    calls = gflop / large_convolution(precision).gflop / REPEATS
    alone = [s * calls for s in seconds[f"large convolutions {precision}"]]
    return (
        {f"{precision}_vs_torch": ratio(fastest, seconds[f"enhance {precision}"])},
        {
            f"the arithmetic alone {precision}, seconds": statistics.median(alone),
            f"{precision}_vs_torch at most": ratio(fastest, alone),
        },
    )


def box_gain(scan: Path, run: Path, out: Path, rounds: int) -> tuple[float, dict[str, float]]:
    """How much faster a scan is by its head's box than by whole slices, and both times."""
    worklist = make_worklist([scan], out)
    config = EnhanceConfig(model=str(run))

    def boxed() -> None:
        list(enhance(worklist, config, overwrite=True))

    def whole() -> None:
        with patch.object(head, "BACKGROUND", -1.0):  # every voxel is above it
            boxed()

    seconds = in_turns({"whole slices": whole, "the head's box": boxed}, rounds)
    figures = {f"{k} of the box's scan, seconds": statistics.median(v) for k, v in seconds.items()}
    return ratio(seconds["whole slices"], seconds["the head's box"]), figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="16 slices, 2 rounds, float32")
    parser.add_argument("--scan", type=Path, help="a real scan to measure the gain by the box on")
    parser.add_argument("--json", type=Path, help="write the result here, too")
    options = parser.parse_args()
    count, rounds = (16, 2) if options.quick else (130, 3)
    native = resolve_precision("auto") == "bfloat16"
    precisions = ["float32", "bfloat16"] if native and not options.quick else ["float32"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, scan = make_run(folder / "run"), folder / "scan.nii.gz"
        voxels = make_scan(scan, count, (1.5, 1.5))
        slices = np.abs(upsampled(voxels.transpose(2, 0, 1) / np.float32(voxels.max())))
        variants: dict[str, Callable] = {}
        for precision in precisions:
            variants |= contenders(scan, run, precision, slices)
            variants[f"large convolutions {precision}"] = several(large_convolution(precision))
        figures = {"largest difference to torch, relative": difference(variants)}
        seconds = in_turns(variants, rounds)
        figures |= {f"{k}, seconds": statistics.median(v) for k, v in seconds.items()}
        figures["peak memory of the command, GiB"] = peak_memory(
            scan, run, folder / "memory.nii.gz"
        )
        if not options.scan:
            make_scan(folder / "head.nii.gz", count, (0.85, 0.65))
        boxed_scan = options.scan or folder / "head.nii.gz"
        gain, times = box_gain(boxed_scan, run, folder / "boxed.nii.gz", rounds)
    slower = ratio(seconds["enhance float32"], seconds["bare network float32"])
    ratios = {"time_vs_bare_network": slower, "box_gain": gain}
    gflop = 2e-9 * WEIGHTS * slices.size  # each weight meets every pixel once
    for precision in precisions:
        mine, its = peak_ratios(seconds, precision, gflop)
        ratios |= mine
        figures |= its
    boxed = boxed_scan.name if options.scan else "an ellipse of the same size"
    data = f"a phantom of 128 x 128 x {count} int16 voxels; the box: {boxed}; random weights"
    report(ratios, figures | times, data, options.json)


if __name__ == "__main__":
    main()
