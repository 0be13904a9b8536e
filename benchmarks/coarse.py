"""What does `enhance` gain on scans as scanners store them? By finished cross-validations.

    python benchmarks/coarse.py SHARDS CROSSVAL... [--quick] [--json FILE]

Each scan in SHARDS (prepared with --folds) is measured at half its matrix, made a magnitude, and
enhanced as `enhance` does it by the network of each CROSSVAL that was not trained on its subject.
``lr`` is what that network is given: the coarse magnitude, zero-filled to the whole matrix.

Networks that learnt from coarse magnitudes (``prepare --lr``) are called so here, those that learnt
from magnitudes at the whole matrix have the plain names. It measures quality, not time, so there
are no ratios.
"""

import argparse
import os
from itertools import groupby
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from turns import report

from data_prep.kspace import Degradation, zero_filled
from data_prep.shards.schema import read_manifest
from srmri_tf.data.dataset import Shards, SlicePair
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.volume import enhance_volume
from srmri_tf.evaluation import tables
from srmri_tf.evaluation.baselines import LOW_RESOLUTION
from srmri_tf.evaluation.config import CONSISTENT
from srmri_tf.evaluation.scores import Scorer, SliceRow
from srmri_tf.evaluation.summary import figures_of, plain
from srmri_tf.experiments.crossval import read_finished
from srmri_tf.models.model import Network, load_network


def super_resolved(network: Network, scan: np.ndarray, settings: EnhanceConfig) -> np.ndarray:
    """The slices of a scan (S, H, W) as `enhance` enhances them."""
    # Row 0 is the front, column 0 the patient's right: the network sees the slices as they are.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    result = enhance_volume(network, scan.transpose(2, 1, 0), affine, settings)
    return result.voxels.transpose(2, 1, 0)


def scored(scorer: Scorer, scan: list[SlicePair], networks: dict[str, Network]) -> list[SliceRow]:
    """Every slice of a scan by every network."""
    truth = np.stack([pair.hr for pair in scan])
    truth = truth[:, : truth.shape[1] // 2 * 2, : truth.shape[2] // 2 * 2]
    filled = zero_filled(truth, Degradation(lr="coarse"))
    stored = filled[:, ::2, ::2]
    images = {LOW_RESOLUTION: filled}
    for name, network in networks.items():
        for suffix, consistency in (("", False), (CONSISTENT, True)):
            settings = EnhanceConfig(plane="axial", consistency=consistency)
            images[name + suffix] = super_resolved(network, stored, settings)
    rows = []
    for k, pair in enumerate(scan):
        whole = SlicePair(pair.subject, pair.session, pair.index, pair.lr, truth[k])
        found = {name: stack[k] for name, stack in images.items()}
        rows += scorer.slice(whole, found, float(truth.max()))
    return rows


def tested_by(folder: Path, fold: int) -> tuple[str, Network]:
    """The network of a cross-validation that was not trained on a fold, and what it learnt of."""
    summary, evaluations = read_finished(folder)
    network = load_network(evaluations[fold].parent / summary["model"])
    learnt = "" if network.degradation.lr == "magnitude" else f" ({network.degradation.lr})"
    return folder.name + learnt, network


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("crossvals", type=Path, nargs="+", metavar="CROSSVAL")
    parser.add_argument("--quick", action="store_true", help="six slices of each fold")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    manifest = read_manifest(options.shards)
    scorer = Scorer(manifest.parameters.degradation)
    rows: list[SliceRow] = []
    for fold in range(manifest.split_rule.folds):
        networks = dict(tested_by(folder, fold) for folder in options.crossvals)
        tested = Shards.open(options.shards, fold).some_slices("test", 6 if options.quick else 0)
        for _, scan in groupby(tested, key=lambda pair: (pair.subject, pair.session)):
            rows += scored(scorer, list(scan), networks)
    figures = plain(figures_of(rows, scorer.volumes(), {}))
    document = figures | {"published": [], "notes": []}
    for table in (tables.main_table(document), tables.subject_table(document)):
        print(tables.markdown(table), end="\n\n")
    gains = {
        f"{key}_gain {name}": method["gains"][key]
        for name, method in figures["methods"].items()
        if name != LOW_RESOLUTION
        for key in ("psnr", "ssim")
    }
    data = f"{options.shards.name}: subjects {sorted({row.subject for row in rows})}"
    report({}, gains | {"methods": figures["methods"]}, data, options.json)


if __name__ == "__main__":
    main()
