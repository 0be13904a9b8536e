"""What does an evaluation wait for: the measures of a slice, or the networks?

    python benchmarks/evaluate.py [SHARDS] [--quick] [--json FILE]

Times all measures but the VGG distance on slices with three methods each, by one thread and by as
many as `evaluate` takes, and GAN-CPCE's own pass over a slice (float32), in turns. The processor
time of the measures stands beside their wall time. Without SHARDS, slices are phantoms of 256 x
256.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from srmri_tf.cli import process

process.configure()

import numpy as np
from turns import in_turns, ratio, report

from data_prep.kspace import Degradation, zero_filled
from srmri_tf.data.dataset import Shards, SlicePair
from srmri_tf.evaluation.baselines import bicubic
from srmri_tf.evaluation.scores import THREADS, Scorer
from srmri_tf.networks.cpce import CpceGenerator
from srmri_tf.networks.registry import super_resolver

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


def measures(slices: list[Slice], threads: int, seconds: list[float]) -> Callable[[], None]:
    """Score every method on every slice, and note the processor time."""

    def measure() -> None:
        start = time.process_time()
        scorer = Scorer(Degradation(), threads=threads)
        for pair, images in slices:
            scorer.slice(pair, images, 0.9)
        seconds.append(time.process_time() - start)

    return measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer slices and rounds")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    count, rounds = (8, 3) if arguments.quick else (40, 7)
    pairs, data = real(arguments.shards, count) if arguments.shards else phantoms(count)
    slices = with_methods(pairs)
    super_resolve = super_resolver(CpceGenerator())
    processor: list[float] = []
    seconds = in_turns(
        {
            "measures": measures(slices, THREADS, processor),
            "measures_by_one_thread": measures(slices, 1, []),
            "network": lambda: [super_resolve(pair.lr[None]) for pair in pairs],
        },
        rounds,
    )
    images = sum(len(methods) for _, methods in slices)
    figures = {
        "milliseconds_an_image_measured": 1000 * statistics.median(seconds["measures"]) / images,
        "milliseconds_of_processors": 1000 * statistics.median(processor) / images,
        "milliseconds_a_slice_of_the_network": 1000
        * statistics.median(seconds["network"])
        / len(pairs),
    }
    ratios = {"one_thread_vs_pool": ratio(seconds["measures_by_one_thread"], seconds["measures"])}
    sizes = sorted({pair.hr.shape for pair in pairs})
    what = f"{len(slices)} slices of {' and '.join(map(str, sizes))}, 3 methods; {data}"
    report(ratios, figures, what, arguments.json)


if __name__ == "__main__":
    main()
