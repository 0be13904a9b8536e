"""Small synthetic scans for the tests of data_prep."""

import os
from pathlib import Path

import nibabel as nib
import numpy as np

from data_prep.files import own_prefix

# How what a killed process has left behind is named: there are no such process numbers.
OF_A_DEAD_PROCESS = own_prefix(".srmri-tf-tmp-").replace(f"-{os.getpid()}-", "-4194305-")


def phantom(shape=(24, 20, 12), seed=0) -> np.ndarray:
    """Smooth blobs on a dark background, (X, Y, Z) float32, no symmetry, maximum 1000."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    volume = np.zeros(shape)
    for _ in range(6):
        centre, width = rng.uniform(-0.6, 0.6, 3), rng.uniform(0.15, 0.5)
        distance = sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True))
        volume += rng.uniform(0.3, 1) * np.exp(-distance / width**2)
    volume += 0.02 * rng.random(shape)
    return (1000 * volume / volume.max()).astype(np.float32)


def affine(spacing=(1.0, 1.0, 3.0), origin=(-10.0, -12.0, -5.0)) -> np.ndarray:
    """RAS+ affine of the given voxel sizes in mm."""
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = origin
    return matrix


def save(path: Path, voxels=None, *, spacing=(1.0, 1.0, 3.0), matrix=None, dtype=None) -> Path:
    """Write a NIfTI file with nibabel, by default a phantom."""
    voxels = phantom() if voxels is None else voxels
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(
        voxels, affine(spacing) if matrix is None else matrix, dtype=voxels.dtype
    )
    if dtype is not None:
        image.set_data_dtype(dtype)
    nib.save(image, path)
    return path


def edit(path: Path, **fields) -> Path:
    """Change header fields of an uncompressed .nii in place, past every check of nibabel."""
    raw = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        if isinstance(value, dict):
            for index, item in value.items():
                header[name][index] = item
        else:
            header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(bytes(raw))
    return path
