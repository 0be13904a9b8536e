"""Copies of the training scans of `several.sh`: with other intensities, or cut in other planes.

python benchmarks/copies.py gamma|curve|planes SCANS OUT

SCANS: the folder of `several.sh`.
OUT:   gets its scans, the copies and `split.tsv`, for the commands of `several.sh`.

gamma:  two copies of every training scan, each intensity raised to a power of 0.5 to 2
curve:  two copies, each along a random curve that may fall as well as rise: any contrast
planes: the T1 volumes, whose voxels are nearly cubes, cut in the two other planes
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.interpolate import PchipInterpolator

TEST = ("openms_patient04", "ixi_t1_defaced_example2", "torchio", "vsseg001")
ISOTROPIC = {"ixi": 2, "studyforrest": 0, "uih": 2}
"""By the beginning of a name, the axis that slices are stacked along."""
LARGEST = 4000  # of the stored integers


def main(kind: str, scans: Path, out: Path) -> None:
    """Write scans, copies and the split table."""
    out.mkdir(parents=True)
    random = np.random.default_rng(1)
    split = dict.fromkeys(TEST, "test")
    for scan in sorted(scans.glob("*.nii.gz")):
        (out / scan.name).symlink_to(scan.resolve())
        if scan.name.startswith(TEST):
            continue
        split[_subject(scan)] = "train"
        copies = _in_planes(scan) if kind == "planes" else _in_contrasts(scan, kind, random)
        for name, image in copies:
            path = out / f"{name}.nii.gz"
            nib.save(image, path)
            split[_subject(path)] = "train"
    rows = "".join(f"{subject}\t{part}\n" for subject, part in split.items())
    (out / "split.tsv").write_text(f"subject\tsplit\n{rows}", encoding="utf-8")


def _subject(scan: Path) -> str:
    from data_prep.scans.names import read_name

    return read_name(scan).subject


def _in_contrasts(
    scan: Path, kind: str, random: np.random.Generator
) -> Iterator[tuple[str, nib.Nifti1Image]]:
    image = nib.load(scan)
    voxels = np.asarray(image.dataobj, np.float32)
    shown = np.clip(voxels / np.percentile(voxels[voxels > 0], 99.8), 0, 1.5)
    name, _, contrast = scan.name.removesuffix(".nii.gz").rpartition("_")
    if not contrast.upper().startswith(("T1", "T2", "FLAIR")):  # ixi_t1_defaced_example1
        name, contrast = f"{name}_{contrast}", "T1w"
    for number in range(2):
        if kind == "gamma":
            copy = shown ** np.exp(random.uniform(-0.7, 0.7))
        else:
            values = np.concatenate([[0], random.uniform(0.1, 1, 5), [0]])
            values[-1] = values[-2]
            copy = PchipInterpolator([0, 0.15, 0.35, 0.55, 0.75, 1.0, 1.5], values)(shown)
        whole = np.rint(copy / copy.max() * LARGEST).astype(np.int16)
        yield f"{name}_acq{kind}{number}_{contrast}", nib.Nifti1Image(whole, image.affine)


def _in_planes(scan: Path) -> Iterator[tuple[str, nib.Nifti1Image]]:
    stacked = next((a for start, a in ISOTROPIC.items() if scan.name.startswith(start)), None)
    if stacked is None:
        return
    image = nib.load(scan)
    sizes = np.asarray(image.header.get_zooms()[:3])
    name = scan.name.removesuffix(".nii.gz").removesuffix("_T1w")
    for axis in {0, 1, 2} - {stacked}:
        turned = np.ascontiguousarray(np.moveaxis(np.asarray(image.dataobj), axis, 2))
        # Slices further apart than pixels, so that they are cut this way.
        spacing = [*np.delete(sizes, axis), 1.1 * sizes.max(), 1.0]
        yield f"{name}_acqaxis{axis}_T1w", nib.Nifti1Image(turned, np.diag(spacing))


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:4]))
