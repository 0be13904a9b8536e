"""Measure the scalar that gives the rescaled VGG-19 the perceptual loss of the original.

    python benchmarks/vgg_scale.py REFERENCE.h5 SCAN.nii.gz...

REFERENCE.h5 is a Keras-layout VGG-19 whose block5_conv4 output is the original network's. For 64x64
patches of each scan, high-resolution (HR) and with only the central quarter of k-space (LR), it
prints the mean squared feature difference of LR and HR in both networks, and the factor for the
rescaled features that makes the two equal: sqrt(original / rescaled). The last lines are the
figures of docs/weights.md and of `srmri_tf.networks.vgg19.weights.NST_FEATURE_SCALE`.
"""

import argparse
import dataclasses
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import nibabel
import numpy as np

from srmri_tf.networks.vgg19.features import build_features
from srmri_tf.networks.vgg19.weights import resolve, resolve_rescaled

SIDE = 64


def patch_pairs(path: Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random patches with some anatomy in them: LR and HR, (count, 64, 64, 1) in [0, 1]."""
    volume = np.asarray(nibabel.load(path).dataobj, np.float32)
    volume /= volume.max()
    rng = np.random.default_rng(seed)
    low, high = [], []
    while len(high) < count:
        image = volume[:, :, rng.integers(volume.shape[2])]
        row, col = (rng.integers(side - SIDE + 1) for side in image.shape)
        patch = image[row : row + SIDE, col : col + SIDE]
        if patch.mean() < 0.02:
            continue
        high.append(patch)
        low.append(keep_centre(image)[row : row + SIDE, col : col + SIDE])
    return np.stack(low)[..., None], np.stack(high)[..., None]


def keep_centre(image: np.ndarray) -> np.ndarray:
    """Keep the central half of each axis of k-space; magnitude of the inverse FFT."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    mask = np.zeros(image.shape)
    rows, cols = (slice(side // 2 - side // 4, side // 2 + side // 4) for side in image.shape)
    mask[rows, cols] = 1
    return np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum * mask))).astype(np.float32)


def loss(features: keras.Model, one: np.ndarray, two: np.ndarray) -> float:
    """Mean squared feature difference over patches, positions and channels."""
    difference = features.predict(one, verbose=0) - features.predict(two, verbose=0)
    return float(np.mean(np.square(difference, dtype=np.float64)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference")
    parser.add_argument("scans", nargs="+", type=Path)
    parser.add_argument("--patches", type=int, default=128, help="per scan")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    original = build_features(resolve(options.reference))
    rescaled = build_features(dataclasses.replace(resolve_rescaled(), feature_scale=1.0))
    print(f"{'scan':36}{'original':>11}{'rescaled':>11}{'factor':>9}{'noise':>9}{'shift':>9}")
    factors, others = [], []
    for path in options.scans:
        low, high = patch_pairs(path, options.patches, options.seed)
        noisy = high + np.random.default_rng(1).normal(0, 0.02, high.shape).astype(np.float32)
        pairs = [(low, high), (noisy, high), (np.roll(high, 1, axis=1), high)]
        values = [(loss(original, *pair), loss(rescaled, *pair)) for pair in pairs]
        first, *rest = [np.sqrt(a / b) for a, b in values]
        factors.append(first)
        others += rest
        row = f"{path.name:36}{values[0][0]:11.4f}{values[0][1]:11.4f}{first:9.4f}"
        print(row + "".join(f"{factor:9.4f}" for factor in rest), flush=True)
    print(f"LR/HR factor: geometric mean {np.exp(np.mean(np.log(factors))):.4f}, ", end="")
    print(f"range {min(factors):.4f} to {max(factors):.4f} over {len(factors)} scans")
    print(f"noise and shift: range {min(others):.4f} to {max(others):.4f}")


if __name__ == "__main__":
    main()
