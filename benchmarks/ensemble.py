"""What does `enhance --ensemble` gain, and at what price in time?

    python benchmarks/ensemble.py SCAN... [--model MODEL] [--quick] [--json FILE]

Each NIfTI scan is measured at half its matrix, made a magnitude, and enhanced by MODEL, else by the
one that `enhance` takes by default, without and with the mean over eight flips and transposes, in
turns. The scans should be of people that the model did not learn from: `srmri-tf models NAME` says
from whom it did.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from coarse import super_resolved
from turns import in_turns, ratio, report

from data_prep.kspace import Degradation, zero_filled
from data_prep.scans import nifti
from data_prep.scans.orientation import find_slicing
from srmri_tf import DEFAULT_MODEL, metrics
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.worklist import make_worklist
from srmri_tf.models.model import load_network


def truth_of(path: Path, quick: bool) -> np.ndarray:
    """The slices of a scan (S, H, W), of even sides and a maximum of 1, background left out."""
    image = nifti.read(path)
    found = find_slicing(image.affine, "auto", path=path)
    slices = found.shown(found.stack(image.voxels))
    slices = slices[:, : slices.shape[1] // 2 * 2, : slices.shape[2] // 2 * 2] / slices.max()
    slices = slices[[not metrics.is_background(one) for one in slices]]
    return slices[np.linspace(0, len(slices) - 1, 6).astype(int)] if quick else slices


def quality(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean PSNR in dB and SSIM over slices."""
    pairs = list(zip(images, truth, strict=True))
    return np.mean([(metrics.psnr(*pair), metrics.ssim(*pair)) for pair in pairs], axis=0)


def main() -> None:
    """Measure, and print a line per scan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", type=Path, nargs="+", metavar="SCAN")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--quick", action="store_true", help="six slices of each scan")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures, times = {}, []
    network = load_network(options.model)
    for job in make_worklist(options.scans, Path("unused")).jobs:
        truth = truth_of(job.scan, options.quick).astype(np.float32)
        filled = zero_filled(truth, Degradation(lr="coarse"))
        stored = filled[:, ::2, ::2]
        images = {}

        def enhance(name, ensemble, stored=stored, images=images):
            config = EnhanceConfig(plane="axial", ensemble=ensemble)
            images[name] = super_resolved(network, stored, config)

        seconds = in_turns(
            {"once": lambda: enhance("once", False), "mean": lambda: enhance("mean", True)}, 1, 0
        )
        times.append(ratio(seconds["mean"], seconds["once"]))
        input_, once, mean = (quality(i, truth) for i in (filled, images["once"], images["mean"]))
        print(
            f"{job.scan.name} ({options.model}): over the input {once[0] - input_[0]:+.2f} dB "
            f"{once[1] - input_[1]:+.4f}, the ensemble more {mean[0] - once[0]:+.3f} dB "
            f"{mean[1] - once[1]:+.4f}"
        )
        figures[job.scan.name] = {
            "model": options.model,
            "gain": (once - input_).tolist(),
            "ensemble_more": (mean - once).tolist(),
        }
    more = np.array([scan["ensemble_more"] for scan in figures.values()])
    found = {"mean_psnr_more": float(more[:, 0].mean()), "mean_ssim_more": float(more[:, 1].mean())}
    data = ", ".join(figures)
    report({"time_vs_once": float(np.median(times))}, {**found, **figures}, data, options.json)


if __name__ == "__main__":
    main()
