"""How fast are the metrics? Against a loop over scikit-image, on the same slices, in turns.

    python benchmarks/evaluate.py [SHARDS] [--quick] [--json FILE]

Both compute, for every slice and method: PSNR and gaussian SSIM with range 1, PSNR and uniform
SSIM with the volume's maximum as range, and NRMSE. Ours also computes the spectral power ratio,
which scikit-image does not have; its time counts as ours. Both have the threads they take by
themselves: scikit-image one, we a second one for that ratio. Without SHARDS, slices are phantoms of
256 x 256. The network's own time per slice (GAN-CPCE, float32) stands beside them: evaluation is to
be bound by it.

Prints ``metrics_vs_skimage``, the ratio of slices per second, and the largest difference of any
figure of any slice, both against scikit-image in float64, as its figures are usually quoted and as
NiBabel hands out scans; ``metrics_vs_skimage_float32`` is against the same loop in float32. Beside
other work, ``cpu_metrics_vs_skimage`` says more: the processor time of both instead.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)
from turns import in_turns, ratio, report

from data_prep.kspace import Degradation, zero_filled
from srmri_tf.data.dataset import Shards, SlicePair
from srmri_tf.evaluation.baselines import bicubic
from srmri_tf.evaluation.scores import Scorer, SliceRow

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


def scikit_image(slices: list[Slice], dtype: Any = np.float64) -> list[tuple[float, ...]]:
    """A straightforward loop over slices and methods."""
    found = []
    for pair, images in slices:
        y = pair.hr.astype(dtype)
        for image in images.values():
            x = image.astype(dtype)
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
    from srmri_tf.networks.cpce import CpceGenerator
    from srmri_tf.networks.registry import sharpener

    sharpen = sharpener(CpceGenerator())
    return lambda: [sharpen(pair.lr[None]) for pair, _ in slices]


def counted(call: Callable[[], object], into: list[float]) -> Callable[[], None]:
    """The same call, whose processor time is noted."""

    def counting() -> None:
        start = time.process_time()
        call()
        into.append(time.process_time() - start)

    return counting


def largest_difference(slices: list[Slice]) -> float:
    mine = [tuple(getattr(row, key) for key in KEYS) for row in ours(slices)]
    return float(np.max(np.abs(np.subtract(mine, scikit_image(slices)))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer slices and rounds")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    count, rounds = (8, 3) if arguments.quick else (40, 7)
    pairs, data = real(arguments.shards, count) if arguments.shards else phantoms(count)
    slices = with_methods(pairs)
    processor: dict[str, list[float]] = {"metrics": [], "scikit_image": []}
    seconds = in_turns(
        {
            "metrics": counted(lambda: ours(slices), processor["metrics"]),
            "scikit_image": counted(lambda: scikit_image(slices), processor["scikit_image"]),
            "scikit_image_float32": lambda: scikit_image(slices, np.float32),
            "network": network(slices),
        },
        rounds,
    )
    images = sum(len(methods) for _, methods in slices)
    per_image = {
        name: statistics.median(times) / (len(slices) if name == "network" else images)
        for name, times in seconds.items()
    }
    ratios = {
        "metrics_vs_skimage": ratio(seconds["scikit_image"], seconds["metrics"]),
        "metrics_vs_skimage_float32": ratio(seconds["scikit_image_float32"], seconds["metrics"]),
        "cpu_metrics_vs_skimage": ratio(processor["scikit_image"], processor["metrics"]),
        "network_vs_metrics": per_image["network"] / per_image["metrics"],
    }
    figures = {f"milliseconds_{name}": 1000 * s for name, s in per_image.items()}
    figures["largest_difference"] = largest_difference(slices)
    sizes = sorted({pair.hr.shape for pair in pairs})
    what = f"{len(slices)} slices of {' and '.join(map(str, sizes))}, 3 methods; {data}"
    report(ratios, figures, what, arguments.json)


if __name__ == "__main__":
    main()
