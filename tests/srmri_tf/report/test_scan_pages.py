"""Pages of scans and their results without a browser: what is in them, what is left alone."""

import dataclasses
import json

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import ConfigError
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.models.card import shipped_card
from srmri_tf.report import bands, scan_pages
from srmri_tf.report.pictures import Slice
from srmri_tf.report.scan_pages import ScanPages
from tests.data_prep.phantoms import affine, phantom, save
from tests.srmri_tf.cli.test_cli import run
from tests.srmri_tf.enhance.test_files import super_resolve, use
from tests.srmri_tf.enhance.test_volume import fake, fine
from tests.srmri_tf.report.test_page import Tags, check_self_contained


def brighter(images):
    """A network that adds detail: a checkerboard has nothing inside the measured box."""
    sign = (-1.0) ** np.add.outer(*map(np.arange, images.shape[1:]))
    return (images + 0.1 * sign).astype(np.float32)


@pytest.fixture
def result(tmp_path, monkeypatch):
    use(fake(brighter), monkeypatch)
    voxels = phantom((40, 36, 9)).astype(np.int16)
    voxels[:, :, [0, 8]] = 0
    path = save(tmp_path / "a<b>_FLAIR.nii.gz", voxels)
    return super_resolve([path])[0]


def test_a_page_is_whole_and_needs_no_other_file(result):
    path = ScanPages().add(result)
    assert path == result.target.image.parent / "a<b>_FLAIR_desc-cpce.html" == result.target.page
    text = path.read_text()
    check_self_contained(text)
    assert "a<b>" not in text
    record = json.loads(result.target.sidecar.read_text())
    for said in (record["SourceSha256"], record["ModelSha256"], "40 x 36 x 9 becomes 80 x 72 x 9"):
        assert said in text
    assert "slice 1 of 9" not in text  # without tissue
    assert text.count("<article") == 5


def test_the_pictures_are_the_scan_zero_filled_and_the_result(result):
    scan, made = nib.load(result.job.scan).get_fdata(), nib.load(result.target.image).get_fdata()
    found = scan_pages.find_slicing(nib.load(result.job.scan).affine, "axial")
    shown = scan_pages._slices(scan, made, found, affine(), same_grid=False)
    middle = next(one for one in shown if "middle" in one.reasons)
    assert middle.label == "slice 5 of 9"
    # Columns from the right, rows from the front: both axes of this scan are turned.
    expected = fine(scan[:, :, 4].T)[::-1, ::-1] / scan.max()
    np.testing.assert_allclose(middle.images["scan"], expected, atol=1e-5)
    expected = made[:, :, 4].T[::-1, ::-1] / scan.max()
    np.testing.assert_allclose(middle.images["result"], expected, atol=1e-6)


def test_bands_by_hand():
    scan, wave = np.zeros((16, 16), np.float32), np.arange(16)
    scan += np.cos(2 * np.pi * 4 / 16 * wave)  # at distance 1, the measured edge
    result = scan + 0.5 * np.cos(2 * np.pi * 6 / 16 * wave).astype(np.float32)  # at 1.5
    shown = Slice("one", {"scan": scan, "result": result}, "scan", (0, 0, 4))
    rows = {band: cells for band, *cells in bands.table([shown], "scan", "result")}
    assert rows["0.75 to 1"] == ["100.0 %", "100.0 %"]
    # A quarter of the power, among 13**2 - 11**2 samples instead of 9**2 - 7**2.
    quarter = 100 * 0.25 * (9**2 - 7**2) / (13**2 - 11**2)
    assert rows["1.25 to 1.5"] == ["0.0 %", f"{quarter:.1f} %"]
    assert rows["1.75 to 2"] == ["0.0 %", "0.0 %"]


def test_warnings_and_the_card_are_said(tmp_path, monkeypatch):
    network = dataclasses.replace(fake(brighter), card=shipped_card("cpce-t2-x2"))
    use(network, monkeypatch)
    results = super_resolve([save(tmp_path / "x_FLAIR.nii"), save(tmp_path / "y_T2.nii")], tmp_path)
    pages = ScanPages()
    written = [pages.add(result) for result in results]
    text = written[0].read_text()
    assert "this scan is FLAIR by its name, but model fake was trained on T2" in text
    assert "look at the scan itself before you rely on anything" in text
    for limit in network.card.limits:
        assert limit in text
    index = tmp_path / "index.html"
    assert pages.indexes == [index]
    links = Tags(index.read_text()).addresses
    assert [link for link in links if not link.startswith("data:")] == [
        "x_FLAIR_desc-cpce.html",
        "y_T2_desc-cpce.html",
    ]


@pytest.mark.parametrize("name", ["x_T2", "x"])
def test_an_unknown_contrast_is_not_called_that_of_the_training_data(tmp_path, monkeypatch, name):
    card = shipped_card("cpce-t2-x2")
    wide = dict.fromkeys(card.ranges.intensity, (0, 1))
    ranges = card.ranges.model_copy(
        update={"in_plane_mm": (0.1, 9), "slice_mm": (0.1, 9), "intensity": wide}
    )
    card = card.model_copy(update={"ranges": ranges})
    use(dataclasses.replace(fake(brighter), card=card), monkeypatch)
    (result,) = super_resolve([save(tmp_path / f"{name}.nii")])
    text = ScanPages().add(result).read_text()
    assert ("Contrast, voxel size and intensities of this scan" in text) == (name == "x_T2")
    assert ("Voxel size and intensities of this scan" in text) == (name == "x")


@pytest.mark.parametrize("consistent", [True, False])
def test_the_gain_is_that_of_the_result(tmp_path, monkeypatch, consistent):
    card = shipped_card("cpce-t2-x2")
    use(dataclasses.replace(fake(brighter), card=card), monkeypatch)
    config = EnhanceConfig(consistency=consistent)
    (result,) = super_resolve([save(tmp_path / "x_T2.nii")], config=config)
    text = ScanPages().add(result).read_text()
    score = card.measured.psnr_consistent if consistent else card.measured.psnr
    assert f"{score.gain:+.2f} dB PSNR" in text
    assert (", with data consistency" in text) == consistent
    assert "each on the subjects that it was not trained on" in text


def test_the_contrast_is_the_one_that_was_enhanced(tmp_path, monkeypatch):
    use(fake(brighter), monkeypatch)
    scan = save(tmp_path / "x_T2.nii")
    super_resolve([scan])
    scan.with_suffix(".json").write_text('{"EchoTime": 0.012, "RepetitionTime": 3.0}')
    (result,) = super_resolve([scan])
    assert not result.fresh
    assert "Contrast T2 by its name" in ScanPages().add(result).read_text()


def test_a_page_replaces_an_earlier_one_and_nothing_else(result):
    ScanPages().add(result)
    path = result.target.page
    first = path.read_bytes()
    ScanPages().add(result)
    assert path.read_bytes() == first
    path.write_text("my own notes")
    with pytest.raises(ConfigError, match="no page of this program"):
        ScanPages().add(result)
    assert path.read_text() == "my own notes"


@pytest.mark.parametrize("volumes", [1, 2])
def test_constant_volumes_and_series_have_pages(tmp_path, monkeypatch, volumes):
    use(fake(brighter), monkeypatch)
    voxels = np.zeros((20, 18, 4), np.int16) if volumes == 1 else phantom((20, 18, 4))
    if volumes > 1:
        voxels = np.stack([voxels] * volumes, axis=-1)
    (made,) = super_resolve(
        [save(tmp_path / "scan.nii", voxels)], config=EnhanceConfig(same_grid=volumes > 1)
    )
    text = ScanPages().add(made).read_text()
    assert ("the pictures are of the first" in text) == (volumes > 1)
    assert ("leave an interpolated scan a little power" in text) == (volumes > 1)
    assert "without --same-grid" not in text
    assert ("all of it comes from the network" in text) == (volumes == 1)
    assert "nan %" not in text


def test_pages_in_a_bids_data_set_are_hidden_from_validators(tmp_path, monkeypatch):
    use(fake(brighter), monkeypatch)
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    (tmp_path / "sub-01" / "anat").mkdir(parents=True)
    save(tmp_path / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
    (made,) = super_resolve([tmp_path])
    pages = ScanPages()
    page = pages.add(made)
    (index,) = pages.indexes
    assert index == tmp_path / "derivatives" / "srmri-tf" / "index.html"
    assert (index.parent / ".bidsignore").read_text() == "*.html\n"
    assert "sub-01/anat/sub-01_res-2x_desc-cpce_T2w.html" in index.read_text()
    assert page.is_file()


def test_the_command_names_the_option_and_writes_pages_of_finished_results(
    tmp_path, monkeypatch, capsys
):
    use(fake(brighter), monkeypatch)
    scan = str(save(tmp_path / "scan_T2.nii"))
    assert run("enhance", scan) == 0
    assert "--report" in capsys.readouterr().err.splitlines()[-1]
    assert run("enhance", scan, "--report", "--dry-run") == 0
    assert f"  -> {tmp_path / 'scan_T2_desc-cpce.html'}" in capsys.readouterr().out.splitlines()
    assert not (tmp_path / "scan_T2_desc-cpce.html").exists()
    assert run("enhance", scan, "--report", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (row,) = document["result"]["scans"]
    assert row["finished_before"]
    assert row["page"] == str(tmp_path / "scan_T2_desc-cpce.html")
    assert (tmp_path / "scan_T2_desc-cpce.html").stat().st_size > 5000
