"""What networks make of masks and noise in a scan that was interpolated.

    python benchmarks/masks.py MODEL... SCAN [--json FILE]

Low-resolution images of the scan, at its own matrix and scaled to its maximum, are enhanced as they
are, with a rectangle set to zero, with all but an ellipse set to zero, with one pixel in a thousand
set to 1, and with Gaussian noise of standard deviation 0.01, 0.03 and 0.1. Said is the largest
change to an image of each kind: that of the network alone, and that of `enhance --same-grid`;
``inf`` where it refuses.
"""

import argparse
import math
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from turns import report

from data_prep.errors import BadInputError
from data_prep.kspace import Degradation, zero_filled
from data_prep.scans.nifti import read
from data_prep.scans.orientation import find_slicing
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.volume import enhance_volume
from srmri_tf.models.model import Network, load_network

SLICES = 8
DEVIATIONS = (0.01, 0.03, 0.1)


def variants(scan: Path) -> dict[str, np.ndarray]:
    """Low-resolution slices of a scan, (S, H, W) in [0, 1], by what was done to them."""
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
    noisy = {f"noise {d}": np.clip(plain + np.float32(d) * noise, 0, 1) for d in DEVIATIONS}
    bright = np.where(rng.random(plain.shape) < 1e-3, np.float32(1), plain)
    return {
        "as it is": plain,
        "a rectangle set to zero": masked,
        "all but an ellipse set to zero": np.where(inside, plain, np.float32(0)),
        "bright pixels": bright,
        **noisy,
    }


def enhanced(network: Network, images: np.ndarray) -> np.ndarray | None:
    """What `enhance --same-grid` makes of slices; None if it refuses."""
    # As a volume whose slices are shown as they are stored.
    voxels, affine = images.transpose(2, 1, 0), np.diag([-1.0, -1.0, 3.0, 1.0])
    try:
        made = enhance_volume(network, voxels, affine, EnhanceConfig(same_grid=True))
    except BadInputError:
        return None
    return made.voxels.transpose(2, 1, 0)


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
            answers = {"alone": network.super_resolve(images), "enhance": enhanced(network, images)}
            for way, answer in answers.items():
                change = math.inf if answer is None else float(np.abs(answer - images).max())
                figures[f"{model}, {way}: {kind}"] = change
    report({}, figures, Path(scan).name, options.json)


if __name__ == "__main__":
    main()
