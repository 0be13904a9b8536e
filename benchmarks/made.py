"""A RUN and a scan for the benchmarks; sets nothing for the process."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from srmri_tf.models import checkpoint
from srmri_tf.models.run import Run
from srmri_tf.networks.cpce import build_generator
from srmri_tf.networks.gan import variables_by_layer
from srmri_tf.recipes import to_toml
from srmri_tf.recipes.config import CpceConfig


def make_run(folder: Path) -> Path:
    """A RUN with random weights whose outputs `enhance` takes: close to the input."""
    config = CpceConfig(objective={"perceptual": 0})
    generator = build_generator(config, "float32")
    generator.set_weights([_passing(kernel) for kernel in generator.get_weights()])
    folder.mkdir()
    arrays = {name: v.numpy() for name, v in variables_by_layer(generator).items()}
    checkpoint.save(Run(folder).best_file, arrays, {})
    Run(folder).config_file.write_text(to_toml(config), encoding="utf-8")
    parameters = {"degradation": {"keep": 0.25, "keep_by": "area", "lr": "magnitude"}}
    facts = json.dumps({"parameters": parameters, "subjects": {}})
    Run(folder).facts_file.write_text(facts, encoding="utf-8")
    return folder


def _passing(kernel: np.ndarray) -> np.ndarray:
    """A layer's kernel made small, but for the first channel, which it passes on as it is."""
    kernel = 0.1 * kernel
    kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, 0, 0] = 1
    return kernel


def make_scan(path: Path, slices: int, radii: tuple[float, float]) -> np.ndarray:
    """Tissue as an ellipse with noise in a file; returns the voxels, (128, 128, S).

    Args:
        path: The file.
        slices: How many.
        radii: Of the ellipse, as parts of half a slice's sides; beyond 1.4 it fills the slice.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:128j, -1:1:128j]
    inside = (rows / radii[0]) ** 2 + (columns / radii[1]) ** 2 < 1
    tissue = (inside * (0.5 + 0.2 * np.cos(9 * rows)))[..., None]
    noisy = tissue + (0.03 * tissue + 0.002) * rng.standard_normal((128, 128, slices))
    voxels = (1000 * np.clip(noisy, 0, 1)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.8, 1.8, 3.0, 1.0])), path)
    return voxels
