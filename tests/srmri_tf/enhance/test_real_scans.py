"""Results on real scans, where they lie beside the checkout; they are no part of the project."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.srmri_tf.enhance.test_files import super_resolve, use
from tests.srmri_tf.enhance.test_volume import fake, identity

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="there are no real scans beside the checkout"),
]


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.nii.gz")), ids=lambda path: path.name)
def test_landmarks_are_where_they_were(path, tmp_path, monkeypatch):
    # A network that changes nothing shows where every voxel of the scan has gone.
    use(fake(identity, lr="real"), monkeypatch)
    (result,) = super_resolve([path], tmp_path)
    scan, back = nib.load(path), nib.load(result.target.image)
    voxels, enhanced = scan.get_fdata(dtype=np.float32), back.get_fdata(dtype=np.float32)
    bright = np.argwhere(voxels > np.percentile(voxels, 99))
    landmarks = bright[np.random.default_rng(0).permutation(len(bright))[:500]]
    for form in ("get_sform", "get_qform"):
        before, after = getattr(scan, form)(), getattr(back, form)()
        there = nib.affines.apply_affine(np.linalg.inv(after) @ before, landmarks)
        np.testing.assert_allclose(there, np.rint(there), atol=1e-3)
        found = enhanced[tuple(np.rint(there).astype(int).T)]
        np.testing.assert_allclose(found, voxels[tuple(landmarks.T)], rtol=1e-3, atol=1)
    assert back.header["sform_code"] == scan.header["sform_code"]
    assert back.header["qform_code"] == scan.header["qform_code"]
    assert back.header["xyzt_units"] == scan.header["xyzt_units"]
    assert back.header["descrip"] == scan.header["descrip"]
    # Ringing below zero gives unsigned integers a sign.
    assert (back.get_data_dtype().kind == "f") == (scan.get_data_dtype().kind == "f")
