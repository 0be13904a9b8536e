"""What networks make of masks and noise in a scan that a scanner has interpolated.

    python benchmarks/masks.py MODEL... SCAN [--coarse] [--json FILE]

Eight slices of the scan, at its own matrix and scaled to its maximum, keep the centre of k-space
and become magnitudes; with ``--coarse`` those of half the matrix. They are enhanced as they are,
with a rectangle set to zero, with all but an ellipse set to zero, with one pixel in a thousand set
to 1, and with Gaussian noise of standard deviation 0.01, 0.03 and 0.1: by the network alone, and by
`enhance`, with ``--same-grid`` or, of coarse slices, without. Both scale them to their maximum.

``change`` is the largest one of a pixel of the zero-filled slices, ``gain`` that in PSNR (dB) over
them, where nothing was set to zero or 1. Where `enhance` refuses, they are ``inf`` and ``-inf``.
``truth`` is by how many times the range around a pixel the truth differs from the slices as they
are (docs/enhance.md, "Implausible outputs").
"""

import argparse
import math
import os
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from coarse import super_resolved
from turns import report

from data_prep.errors import BadInputError
from data_prep.kspace import Degradation, downsampled, upsampled, zero_filled
from data_prep.scans.nifti import read
from data_prep.scans.orientation import find_slicing
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.models.model import Network, load_network
from srmri_tf.models.plausible import RANGES, excess

SLICES = 8
DEVIATIONS = (0.01, 0.03, 0.1)


class Changed(NamedTuple):
    """Slices that something was done to, (S, H, W), and where their own intensities are left."""

    images: np.ndarray
    kept: np.ndarray


def truth_of(scan: Path) -> np.ndarray:
    """Slices of the middle half of a scan, (S, H, W) in [0, 1], with even sides."""
    image = read(scan)
    found = find_slicing(image.affine)
    slices = found.shown(found.stack(image.voxels))
    height, width = (side // 2 * 2 for side in slices.shape[1:])
    places = np.linspace(0.25, 0.75, SLICES) * len(slices)
    return slices[places.astype(int), :height, :width] / slices.max()


def variants(plain: np.ndarray) -> dict[str, Changed]:
    """The same slices, by what was done to them."""
    _, height, width = plain.shape
    outside = np.ones(plain.shape, bool)
    for number, image in enumerate(outside):
        top, left = (int((0.1 + 0.05 * number) * side) for side in image.shape)
        image[top : top + height // 3, left : left + width // 3] = False
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = np.broadcast_to(np.hypot(rows / 0.65, columns / 0.6) < 1, plain.shape)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(plain.shape, np.float32)
    dull = rng.random(plain.shape) >= 1e-3
    everywhere = np.ones(plain.shape, bool)
    return {
        "as it is": Changed(plain, everywhere),
        "a rectangle set to zero": Changed(plain * outside, outside),
        "all but an ellipse set to zero": Changed(plain * inside, inside),
        "bright pixels": Changed(np.where(dull, plain, np.float32(1)), dull),
        **{
            f"noise {deviation}": Changed(np.abs(plain + np.float32(deviation) * noise), everywhere)
            for deviation in DEVIATIONS
        },
    }


def enhanced(network: Network, images: np.ndarray, same_grid: bool) -> np.ndarray | None:
    """What `enhance` makes of slices; None if it refuses."""
    try:
        return super_resolved(network, images, EnhanceConfig(same_grid, plane="axial"))
    except BadInputError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="[MODEL...] SCAN")
    parser.add_argument(
        "--coarse", action="store_true", help="as the scanner stores half the matrix"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    *models, scan = options.models
    truth, figures = truth_of(Path(scan)), {}
    stored = np.abs(downsampled(truth)) if options.coarse else zero_filled(truth, Degradation())
    changed = variants(stored)

    def whole(images: np.ndarray) -> np.ndarray:
        """The images at the truth's matrix."""
        return np.abs(upsampled(images)) if options.coarse else images

    filled = whole(stored)
    figures["truth"] = RANGES * float(excess(truth - filled, filled).max())
    for model in models:
        network = load_network(model)
        for kind, (images, counted) in changed.items():
            filled, times = whole(images), 2 if options.coarse else 1
            kept = counted.repeat(times, axis=1).repeat(times, axis=2)
            before = np.square(filled - truth)[kept].mean()
            largest = images.max()
            outputs = {
                "alone": network.super_resolve(filled / largest) * largest,
                "enhance": enhanced(network, images, not options.coarse),
            }
            for way, output in outputs.items():
                change, gain = math.inf, -math.inf
                if output is not None:
                    change = float(np.abs(output - filled).max())
                    gain = float(10 * np.log10(before / np.square(output - truth)[kept].mean()))
                figures[f"{model}, {way}: {kind}, change"] = change
                figures[f"{model}, {way}: {kind}, gain"] = gain
    report({}, figures, Path(scan).name, options.json)


if __name__ == "__main__":
    main()
