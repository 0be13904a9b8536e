"""Where in a slice is SSIM gained: in the head, or in the background?

    python benchmarks/background.py MODEL... SHARDS [--json FILE]

Background is where the mean of the truth over 9x9 pixels is below 0.03 of the volume's maximum. The
gain over the low-resolution input (gaussian 11x11 window, as in the tables) is the mean of SSIM's
map over the background and over all else, on the test slices of SHARDS.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from scipy.ndimage import uniform_filter
from turns import report

from srmri_tf.data.dataset import Shards
from srmri_tf.metrics import ssim_map
from srmri_tf.models.model import load_network

WINDOW, LEVEL = 9, 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL... SHARDS")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    *models, folder = options.models
    slices = list(Shards.open(Path(folder)).slices("test"))
    background = [uniform_filter(pair.hr, WINDOW) < LEVEL for pair in slices]
    where = np.concatenate([mask.ravel() for mask in background])
    inputs = [ssim_map(pair.lr, pair.hr) for pair in slices]
    figures = {"slices": len(slices), "share of background": float(where.mean())}
    for model in models:
        network = load_network(model)
        results = (network.super_resolve(pair.lr[None])[0] for pair in slices)
        gains = [
            (ssim_map(image, pair.hr) - before).ravel()
            for image, pair, before in zip(results, slices, inputs, strict=True)
        ]
        gain = np.concatenate(gains)
        figures[f"{network.name}: SSIM gained in background"] = float(gain[where].mean())
        figures[f"{network.name}: SSIM gained elsewhere"] = float(gain[~where].mean())
    report({}, figures, str(folder), options.json)


if __name__ == "__main__":
    main()
