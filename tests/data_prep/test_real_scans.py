"""Real scans, where they lie beside the checkout; they are no part of the project."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.scans.sources import read
from data_prep.shards.files import verify
from data_prep.shards.schema import SplitRule
from srmri_tf.evaluation.inspect import baselines

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="there are no real scans beside the checkout"),
]


@pytest.mark.parametrize("path", sorted(DATA.glob("*/*.nii.gz")), ids=lambda path: path.name)
def test_a_real_scan_is_what_nibabel_makes_of_it(path):
    volume = read(path, "axial", "kspace")
    expected = nib.as_closest_canonical(nib.load(path))
    upright = expected.get_fdata().transpose(2, 1, 0)[:, ::-1, ::-1]
    np.testing.assert_allclose(volume.images, upright, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(
        volume.spacing,
        expected.header.get_zooms()[1::-1] + expected.header.get_zooms()[2:],
        atol=1e-4,
    )


@pytest.mark.parametrize(("folder", "plane"), [("t1_ixi", "sagittal"), ("t2", "axial")])
def test_real_scans_give_the_same_bytes_with_one_and_two_workers(tmp_path, folder, plane):
    config = PrepareConfig(split_rule=SplitRule(val_fraction=0, test_fraction=0.34))
    one = prepare([DATA / folder], tmp_path / "one", config, workers=1)
    two = prepare([DATA / folder], tmp_path / "two", config, workers=2)
    assert one == two == verify(tmp_path / "one") == verify(tmp_path / "two")
    assert {shard.plane for shard in one.shards} == {plane}
    assert len(one.subjects("train")) == 2
    assert len(one.subjects("test")) == 1
    rows = baselines(tmp_path / "one", one)
    for row in rows:
        assert 30 < row.means["psnr"] < 45
        assert 0.9 < row.means["ssim"] < 1
