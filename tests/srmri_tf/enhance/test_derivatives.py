"""Names, sidecars, and what an interrupted run leaves."""

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import ConfigError, EnvironmentFault
from data_prep.scans import nifti
from data_prep.scans.choosing import is_result
from srmri_tf.enhance import derivatives
from srmri_tf.enhance.derivatives import Target
from tests.data_prep.phantoms import phantom, save

MODEL = {"Name": "net", "Kind": "cpce", "Sha256": "a" * 64}
RECORD = derivatives.record_of(["scan.nii.gz"], "b" * 64, MODEL, {"Uncertainty": True})


@pytest.mark.parametrize(
    ("scan", "result"),
    [
        ("scan.nii.gz", "scan_desc-cpce.nii.gz"),
        ("IXI012-HH-1211-T2.nii", "IXI012-HH-1211-T2_desc-cpce.nii"),
        ("a.b.NII.GZ", "a.b_desc-cpce.NII.GZ"),
        ("sub-01_T2w.nii.gz", "sub-01_desc-cpce_T2w.nii.gz"),
        ("sub-01_ses-2_acq-hr_run-1_T1w.nii", "sub-01_ses-2_acq-hr_run-1_desc-cpce_T1w.nii"),
        ("sub-01_desc-preproc_T2w.nii.gz", "sub-01_desc-preprocCpce_T2w.nii.gz"),
        ("scan_desc-cpce.nii.gz", "scan_desc-cpceCpce.nii.gz"),
    ],
)
def test_names_follow_bids(scan, result):
    assert derivatives.result_name(Path("in") / scan, "cpce") == result


@pytest.mark.parametrize(
    ("scan", "result"),
    [
        ("scan.nii.gz", "scan_desc-cpce.nii.gz"),
        ("sub-01_T2w.nii.gz", "sub-01_res-2x_desc-cpce_T2w.nii.gz"),
        ("sub-01_space-T1w_desc-x_T2w.nii", "sub-01_space-T1w_res-2x_desc-xCpce_T2w.nii"),
        ("sub-01_res-native_T2w.nii.gz", "sub-01_res-native2x_desc-cpce_T2w.nii.gz"),
    ],
)
def test_twice_the_matrix_is_named_as_bids_names_resolutions(scan, result):
    assert derivatives.result_name(Path(scan), "cpce", doubled=True) == result


def test_a_name_with_a_resolution_has_it_explained(tmp_path):
    target = Target(
        tmp_path / "sub-1_res-2x_desc-cpce_T2w.nii", tmp_path / "sub-1_res-2x_u_T2w.nii"
    )
    header = nifti.read(save(tmp_path / "scan.nii", spacing=(0.45, 0.45, 3))).header
    derivatives.write(target, [phantom(), phantom()], header, (0.45, 0.45, 3), RECORD)
    said = json.loads(target.sidecar.read_text())
    assert said["Resolution"] == "voxels of 0.45 x 0.45 x 3 mm"
    of_spread = json.loads((tmp_path / "sub-1_res-2x_u_T2w.json").read_text())
    assert of_spread["Description"].startswith("Standard deviation")
    differs = {"Description", "Files"}
    assert {k: v for k, v in said.items() if k not in differs} == {
        k: v for k, v in of_spread.items() if k not in differs
    }


@pytest.fixture
def target(tmp_path):
    """A finished result with its map."""
    target = Target(tmp_path / "out" / "x_desc-cpce.nii.gz", tmp_path / "out" / "u.nii.gz")
    header = nifti.read(save(tmp_path / "scan.nii", phantom().astype(np.int16))).header
    derivatives.write(target, [phantom(), phantom() / 1000], header, (1, 1, 1), RECORD)
    return target


def test_a_result_its_map_and_what_they_were_made_of(target):
    assert sorted(p.name for p in target.image.parent.iterdir()) == [
        "u.json",
        "u.nii.gz",
        "x_desc-cpce.json",
        "x_desc-cpce.nii.gz",
    ]
    assert nib.load(target.image).get_data_dtype() == np.int16
    spread = nib.load(target.uncertainty)
    assert spread.get_data_dtype() == np.float32  # parts of a unit would round to nothing
    np.testing.assert_array_equal(spread.get_fdata(dtype=np.float32), phantom() / 1000)
    said = json.loads(target.sidecar.read_text())
    assert said["Sources"] == ["scan.nii.gz"]
    assert said["GeneratedBy"][0]["Name"] == "srmri-tf"
    for path in target.images:
        assert said["Files"][path.name] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert is_result(target.image)
    assert derivatives.is_finished(target, RECORD)


@pytest.mark.parametrize("lost", ["image", "uncertainty"])
def test_what_a_killed_run_left_is_made_again(target, lost):
    # The sidecar is there before the images get their names.
    getattr(target, lost).unlink()
    assert not derivatives.is_finished(target, RECORD)


def test_nothing_there_is_not_finished(tmp_path):
    assert not derivatives.is_finished(Target(tmp_path / "x.nii.gz"), RECORD)


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"SourceSha256": "other"}, f"SourceSha256: {'b' * 64} there, other asked for"),
        ({"ModelSha256": "other"}, f"ModelSha256: {'a' * 64} there, other asked for"),
        ({"Parameters": {"Uncertainty": False}}, "Uncertainty: True there, False asked for"),
    ],
)
def test_a_result_of_something_else_is_not_replaced(target, other, line):
    with pytest.raises(ConfigError) as caught:
        derivatives.is_finished(target, RECORD | other)
    assert str(caught.value) == (
        f"{target.image}: was made differently:\n  {line}\n"
        "Give --overwrite to replace it, or another -o."
    )


def test_a_changed_result_is_not_replaced(target):
    target.image.write_bytes(b"edited")
    with pytest.raises(ConfigError, match="was changed after it was made"):
        derivatives.is_finished(target, RECORD)


@pytest.mark.parametrize("content", [None, "not JSON", "[]", '{"EchoTime": 0.1}'])
def test_a_file_of_somebody_elses_is_not_replaced(tmp_path, content):
    target = Target(tmp_path / "x.nii.gz")
    (target.image if content is None else target.sidecar).write_text(content or "precious")
    with pytest.raises(ConfigError, match="was not made by this program"):
        derivatives.is_finished(target, RECORD)


def test_of_two_sidecars_a_foreign_one_is_kept_and_one_that_a_kill_left_is_replaced(target):
    spread = target.image.with_name("u.json")
    for path in (*target.images, target.sidecar):
        path.unlink()
    assert not derivatives.is_finished(target, RECORD)
    spread.write_text('{"mine": 1}')
    with pytest.raises(ConfigError, match=r"u\.json: already exists and was not made by this pr"):
        derivatives.is_finished(target, RECORD)


def test_a_failed_write_leaves_the_old_result(target, monkeypatch):
    before = {path: path.read_bytes() for path in target.image.parent.iterdir()}

    def full(path, text, **options):
        raise EnvironmentFault("cannot be written: the disk is full", path=path, remedy="")

    monkeypatch.setattr(derivatives, "write_text", full)
    header = nifti.read(target.image).header
    with pytest.raises(EnvironmentFault):
        derivatives.write(target, [phantom() + 1, phantom()], header, (1, 1, 1), RECORD)
    assert {path: path.read_bytes() for path in target.image.parent.iterdir()} == before


def test_a_derivative_data_set_says_so_once(tmp_path):
    out = tmp_path / "raw" / "derivatives" / "srmri-tf"
    derivatives.describe_dataset(out, tmp_path / "raw")
    said = json.loads((out / "dataset_description.json").read_text())
    assert said["DatasetType"] == "derivative"
    assert said["DatasetLinks"] == {"raw": "../.."}
    (out / "dataset_description.json").write_text("mine")
    derivatives.describe_dataset(out, tmp_path / "raw")
    assert (out / "dataset_description.json").read_text() == "mine"


def test_a_derivative_data_set_keeps_licence_and_authors_and_what_is_there(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    for folder in (raw, out):
        folder.mkdir()
    described = {"Name": "Heads", "License": "CC BY", "Authors": ["A", "B"], "Funding": ["C"]}
    (raw / "dataset_description.json").write_text(json.dumps(described))
    (out / "README").write_text("mine")
    derivatives.describe_dataset(out, raw)
    said = json.loads((out / "dataset_description.json").read_text())
    assert said["Name"] == "Super-resolution of Heads"
    assert (said["License"], said["Authors"], "Funding" in said) == ("CC BY", ["A", "B"], False)
    assert sorted(path.name for path in out.glob("README*")) == ["README"]
