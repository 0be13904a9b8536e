"""How far is the F that `unsupervised-blind` has learnt from the true degradation?

    python benchmarks/degrader.py RUN... SHARDS [--json FILE]

Each RUN's F is applied to high-resolution training patches of the run's own subjects, and compared
with their true low-resolution images, which no such run has seen as pairs. Beside it stand the
patch itself, which is what F begins with, and the true degradation of the patch alone, mirrored at
its edges.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from turns import report

from data_prep.kspace import Degradation
from srmri_tf.data.dataset import Shards
from srmri_tf.models import checkpoint
from srmri_tf.models.run import Run
from srmri_tf.networks.circle.building import build_degrader
from srmri_tf.networks.circle.degraders import KspaceDegrader, LinearDegrader
from srmri_tf.networks.gan import variables_by_layer

PATCHES = 1024


def patches(shards: Shards) -> tuple[tf.Tensor, tf.Tensor]:
    """Pairs of low- and high-resolution training patches, (N, H, W, 1) each."""
    data, _ = shards.pairs(min(PATCHES, shards.records()), 0, range(1))
    return next(iter(data))


def learnt(run: Run, patch: tuple[int, int], degradation: Degradation) -> LinearDegrader:
    """F of a run's checkpoint."""
    arrays, _ = checkpoint.load(run.checkpoint_file, "degrader/")
    network = build_degrader(run.config(), patch, "float32", degradation)
    variables = {f"degrader/{k}": v for k, v in variables_by_layer(network).items()}
    checkpoint.assign(run.checkpoint_file, variables, arrays)
    return network


def distance(images: tf.Tensor, truth: tf.Tensor) -> float:
    """Root mean square difference, in thousandths of the volume's maximum."""
    return 1e3 * float(np.sqrt(np.mean(np.square(images - truth))))


def main() -> None:
    """Measure, and print a line per run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", type=Path, nargs="+", metavar="RUN... SHARDS")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    *runs, folder = options.paths
    figures, ratios = {}, {}
    for run in map(Run, runs):
        config = run.config()
        shards = Shards.open(folder, config.fold, config.validation.fold)
        x, y = patches(shards)
        degradation = shards.manifest.parameters.degradation
        network = learnt(run, y.shape[1:3], degradation)
        true = KspaceDegrader(degradation, y.shape[1:3])
        kept = [float(np.mean(response)) for response in network.decided_responses()]
        figures[str(run.folder)] = found = {
            "kept of rows": kept[0],
            "kept of columns": kept[1],
            "y": distance(y, x),
            "F(y)": distance(network(y, decided=True), x),
            "true degradation of y": distance(true(y), x),
        }
        ratios[f"{run.folder}_vs_true"] = found["F(y)"] / found["true degradation of y"]
        print(f"{run.folder}: " + ", ".join(f"{k} {v:.3g}" for k, v in found.items()))
    data = "real scans as given; RMS difference from x, in thousandths of the volume's maximum"
    report(ratios, figures, data, options.json)


if __name__ == "__main__":
    main()
