"""How fast are the metrics? Against a loop over scikit-image, on the same slices, in turns.

    python benchmarks/evaluate.py [SHARDS] [--quick] [--json FILE]

Both compute, for every slice and method: PSNR and gaussian SSIM with range 1, PSNR and uniform
SSIM with the volume's maximum as range, and NRMSE. Ours also computes the spectral power ratio,
which scikit-image does not have. Without SHARDS, slices are phantoms of 256 x 256. The network's
own time per slice (GAN-CPCE, float32) stands beside them: evaluation is to be bound by it.

Prints ``metrics_vs_skimage``, the ratio of slices per second, and the largest difference of any
figure of any slice.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from data_prep.kspace import zero_filled
from data_prep.schema import Degradation
from srmri_tf.baselines import bicubic
from srmri_tf.dataset import Shards, SlicePair
from srmri_tf.scores import Scorer, SliceRow

KEYS = ("psnr", "ssim", "psnr_fastmri", "ssim_fastmri", "nrmse")
Slice = tuple[SlicePair, dict[str, np.ndarray]]


def phantoms(count: int) -> tuple[list[SlicePair], str]:
    """Smooth ellipses with noise, 256 x 256."""
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[-1:1:256j, -1:1:256j]
    pairs = []
    for index in range(count):
        head = ((rows / 0.9) ** 2 + (cols / 0.7) ** 2 < 1) * (0.4 + 0.1 * np.cos(9 * rows + index))
        hr = np.clip(head + 0.02 * rng.standard_normal(head.shape), 0, 1).astype(np.float32)
        pairs.append(SlicePair("phantom", "", index, zero_filled(hr, Degradation()), hr))
    return pairs, "phantoms of 256 x 256"


def real(folder: Path, count: int) -> tuple[list[SlicePair], str]:
    """Evenly spaced test slices."""
    pairs = Shards.open(folder).some_slices("test", count)
    return pairs, f"{folder.name}: subjects {sorted({p.subject for p in pairs})}"


def with_methods(pairs: list[SlicePair]) -> list[Slice]:
    """Three images a slice: low resolution, bicubic, and one between low resolution and truth."""
    degradation = Degradation()
    return [
        (
            pair,
            {
                "lr": pair.lr,
                "bicubic": bicubic(pair.lr, degradation),
                "between": (pair.lr + pair.hr) / 2,
            },
        )
        for pair in pairs
    ]


def ours(slices: list[Slice]) -> list[SliceRow]:
    scorer = Scorer(Degradation())
    return [row for pair, images in slices for row in scorer.slice(pair, images, 0.9)]


def scikit_image(slices: list[Slice]) -> list[tuple[float, ...]]:
    """A straightforward loop; in float64, as scikit-image's figures are usually quoted."""
    found = []
    for pair, images in slices:
        y = pair.hr.astype(np.float64)
        for image in images.values():
            x = image.astype(np.float64)
            gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
            found.append(
                (
                    peak_signal_noise_ratio(y, x, data_range=1),
                    structural_similarity(y, x, data_range=1, **gaussian),
                    peak_signal_noise_ratio(y, x, data_range=0.9),
                    structural_similarity(y, x, data_range=0.9),
                    normalized_root_mse(y, x),
                )
            )
    return found


def network(slices: list[Slice]) -> Callable[[], object]:
    """GAN-CPCE's generator on every slice."""
    from srmri_tf.cpce import CpceGenerator
    from srmri_tf.runs import sharpener

    sharpen = sharpener(CpceGenerator())
    return lambda: [sharpen(pair.lr[None]) for pair, _ in slices]


def in_turns(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Best seconds of each, one after the other, again and again."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: min(values) for name, values in seconds.items()}


def largest_difference(slices: list[Slice]) -> float:
    mine = [tuple(getattr(row, key) for key in KEYS) for row in ours(slices)]
    return float(np.max(np.abs(np.subtract(mine, scikit_image(slices)))))


def machine() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer slices and repeats")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    count, repeats = (8, 3) if arguments.quick else (40, 7)
    pairs, data = real(arguments.shards, count) if arguments.shards else phantoms(count)
    slices = with_methods(pairs)
    ways = {
        "metrics": lambda: ours(slices),
        "scikit-image": lambda: scikit_image(slices),
        "network": network(slices),
    }
    seconds = in_turns(ways, repeats)
    images = sum(len(methods) for _, methods in slices)
    per_image = {
        name: s / (len(slices) if name == "network" else images) for name, s in seconds.items()
    }
    result = {
        "metrics_vs_skimage": per_image["scikit-image"] / per_image["metrics"],
        "network_vs_metrics": per_image["network"] / per_image["metrics"],
        "largest_difference": largest_difference(slices),
        "milliseconds_per_image": {name: 1000 * s for name, s in per_image.items()},
        "data": f"{len(slices)} slices of {pairs[0].hr.shape}, 3 methods; {data}",
        "machine": machine(),
    }
    for name, value in result.items():
        print(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
