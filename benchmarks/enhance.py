"""How fast is `enhance`? From file to file, against the bare network and against PyTorch.

    pip install torch
    python benchmarks/enhance.py [--quick] [--json FILE]

A phantom of 128 x 128 x 130 int16 voxels becomes one of 256 x 256 x 130: reading, checking,
zero-filling, the network, data consistency, the affine, compressing and writing, and opening the
model, too. The bare network (GAN-CPCE, the compiled graph that `enhance` itself uses) and the same
network in PyTorch (channels-last, inference mode) get the finished 256 x 256 slices as an array and
give one back: the bare network four slices at a time, PyTorch one or four, whichever is faster in
either precision. All have the same random weights and are compared first.

Ratios: ``time_vs_bare_network`` is our time over the bare network's (at most 1.3 wanted),
``float32_vs_torch`` and ``bfloat16_vs_torch`` are PyTorch's time over ours (at least 1.3 wanted).
What the latter could be at most, the figures say: PyTorch's time over that of the network's
arithmetic alone, at the rate of a large, regular convolution.
``--quick`` takes 16 slices and fewer rounds: then opening the model weighs more.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import nibabel as nib
import numpy as np
import tensorflow as tf
import torch
from parts import Part, large_convolution
from torch_cpce import Generator
from turns import in_turns, ratio, report

from data_prep.kspace import upsampled
from srmri_tf.enhance.files import Request, enhance
from srmri_tf.enhance.worklist import make_worklist
from srmri_tf.models import checkpoint
from srmri_tf.models.model import load_network
from srmri_tf.models.run import Run
from srmri_tf.networks.cpce import build_generator
from srmri_tf.networks.gan import variables_by_layer
from srmri_tf.recipes import to_toml
from srmri_tf.recipes.config import CpceConfig

TORCH_BATCHES = (1, 4)
REPEATS = 10
PRECISIONS = {"float32": False, "bfloat16": True}
CLI = "from srmri_tf.cli import main; main()"


def make_run(folder: Path) -> Path:
    """A RUN with random weights whose network is not dead."""
    config = CpceConfig(objective={"perceptual": 0})
    generator = build_generator(config, "float32")
    weights = generator.get_weights()
    generator.set_weights([*weights[:-1], np.abs(weights[-1])])
    folder.mkdir()
    arrays = {name: v.numpy() for name, v in variables_by_layer(generator).items()}
    checkpoint.save(Run(folder).best_file, arrays, {})
    Run(folder).config_file.write_text(to_toml(config), encoding="utf-8")
    parameters = {"degradation": {"keep": 0.25, "keep_by": "area", "lr": "magnitude"}}
    facts = json.dumps({"parameters": parameters, "subjects": {}})
    Run(folder).facts_file.write_text(facts, encoding="utf-8")
    return folder


def make_scan(path: Path, slices: int) -> np.ndarray:
    """Ellipses with noise as a file; returns the voxels, (128, 128, S)."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:128j, -1:1:128j]
    head = ((rows / 0.9) ** 2 + (columns / 0.7) ** 2 < 1) * (0.5 + 0.2 * np.cos(9 * rows))
    noisy = head[..., None] + 0.03 * rng.standard_normal((128, 128, slices))
    voxels = (1000 * np.clip(noisy, 0, 1)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.8, 1.8, 3.0, 1.0])), path)
    return voxels


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="16 slices, 2 rounds")
    parser.add_argument("--json", type=Path, help="write the result here, too")
    options = parser.parse_args()
    count, rounds = (16, 2) if options.quick else (130, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, scan = make_run(folder / "run"), folder / "scan.nii.gz"
        voxels = make_scan(scan, count)
        worklist = make_worklist([scan], folder / "out.nii.gz")
        slices = np.abs(upsampled(voxels.transpose(2, 0, 1) / np.float32(voxels.max())))
        variants: dict[str, Callable] = {}
        difference = 0.0
        for precision, bfloat16 in PRECISIONS.items():
            network = load_network(run, precision)
            weights = network.generator.get_weights()
            theirs = {
                torch_name(precision, batch): in_torch(weights, slices, bfloat16, batch)
                for batch in TORCH_BATCHES
            }
            request = Request(model=str(run), precision=precision, overwrite=True)
            variants[f"enhance {precision}"] = lambda r=request: list(enhance(worklist, r))
            variants[f"bare network {precision}"] = lambda n=network: n.sharpen(slices)
            variants |= theirs
            large = large_convolution(precision)
            variants[f"large convolutions {precision}"] = several(large)
            repeats = 2e-9 * sum(w.size for w in weights) * slices.size / large.gflop
            if not bfloat16:
                ours, its = network.sharpen(slices), next(iter(theirs.values()))()
                difference = float(np.abs(ours - its).max() / np.abs(ours).max())
        seconds = in_turns(variants, rounds)
        memory = peak_memory(scan, run, folder / "memory.nii.gz")
    figures: dict[str, float] = {f"{k}, seconds": float(np.median(v)) for k, v in seconds.items()}
    figures["largest difference to torch, relative"] = difference
    figures["peak memory of the command, GiB"] = memory
    ratios = {
        "time_vs_bare_network": 1
        / ratio(seconds["bare network float32"], seconds["enhance float32"])
    }
    for precision in PRECISIONS:
        batches = [seconds[torch_name(precision, batch)] for batch in TORCH_BATCHES]
        fastest = min(batches, key=statistics.median)
        ratios[f"{precision}_vs_torch"] = ratio(fastest, seconds[f"enhance {precision}"])
        peak = [s * repeats / REPEATS for s in seconds[f"large convolutions {precision}"]]
        figures[f"the arithmetic alone {precision}, seconds"] = statistics.median(peak)
        figures[f"{precision}_vs_torch at most"] = ratio(fastest, peak)
    data = f"a phantom of 128 x 128 x {count} int16 voxels; random weights"
    report(ratios, figures, data, options.json)


if __name__ == "__main__":
    main()
