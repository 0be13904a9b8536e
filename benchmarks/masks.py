"""What networks make of masks and noise in a scan that was interpolated.

    python benchmarks/masks.py MODEL... SCAN [--json FILE]

Low-resolution images of the scan, at its own matrix and scaled to its maximum, go through each
network as they are, with a rectangle set to zero, with all but an ellipse set to zero, and with
Gaussian noise of standard deviation 0.01, 0.03 and 0.1. Said is the largest change that the network
makes to an image of each kind.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from turns import report

from data_prep.kspace import Degradation, zero_filled
from data_prep.scans.nifti import read
from data_prep.scans.orientation import find_slicing
from srmri_tf.models.model import load_network

SLICES = 8
DEVIATIONS = (0.01, 0.03, 0.1)


def variants(scan: Path) -> dict[str, np.ndarray]:
    """Low-resolution slices of a scan, (S, H, W), by what was done to them."""
    image = read(scan)
    found = find_slicing(image.affine)
    slices = found.shown(found.stack(image.voxels))
    height, width = (side // 2 * 2 for side in slices.shape[1:])
    places = np.linspace(0.25, 0.75, SLICES) * len(slices)
    chosen = slices[places.astype(int), :height, :width] / slices.max()
    plain = zero_filled(chosen, Degradation(lr="coarse"))
    masked = plain.copy()
    for number, image in enumerate(masked):
        top, left = (int((0.1 + 0.05 * number) * side) for side in image.shape)
        image[top : top + height // 3, left : left + width // 3] = 0
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = np.hypot(rows / 0.65, columns / 0.6) < 1
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(plain.shape, np.float32)
    noisy = {f"noise {d}": plain + np.float32(d) * noise for d in DEVIATIONS}
    around = {"all but an ellipse set to zero": np.where(inside, plain, np.float32(0))}
    return {"as it is": plain, "a rectangle set to zero": masked, **around, **noisy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL... SCAN")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    *models, scan = options.models
    kinds, figures = variants(Path(scan)), {}
    for model in models:
        network = load_network(model)
        for kind, images in kinds.items():
            change = np.abs(network.super_resolve(images) - images)
            figures[f"{model}: {kind}"] = float(change.max())
    report({}, figures, Path(scan).name, options.json)


if __name__ == "__main__":
    main()
