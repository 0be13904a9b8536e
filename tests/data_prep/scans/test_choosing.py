"""Which files are scans, by their names and sidecars."""

import json
from pathlib import Path

import pytest

from data_prep.scans.choosing import RESAMPLED, RESULT, LeftOut, counted, is_result, why_not


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-01_ses-1_T2w_mask", "mask"),
        ("sub-01_T2w_lesion_seg", "segmentation"),
        ("patient01_study1_T2W_mask", "mask"),
        ("patient01_study1_T2W_lesion_seg_v2", "segmentation"),
        ("sub-01_desc-brain_mask", "mask"),
        ("sub-01_mod-T1w_defacemask", "mask"),
        ("sub-01_label-GM_probseg", "segmentation"),
        ("sub-01_T2w_lesion", "segmentation"),
        ("sub-01_T2w_label", "label image"),
        ("IXI012-HH-1211-T2_dseg", "segmentation"),
        ("BraTS20_001_seg", "segmentation"),
        ("patient001_frame01_gt", "segmentation"),
        ("aparc+aseg", "segmentation"),
        ("mask_01", "mask"),
        ("scan_mask_2", "mask"),
        ("brainmask", "mask"),
        ("sub-01_part-phase_T2w", "phase image"),
        ("sub-01_part-real_T2w", "real part"),
        ("sub-01_part-imag_T2w", "imaginary part"),
        ("t2_tse_e1_ph", "phase image"),
        ("t2_tse_e1_imaginary", "imaginary part"),
        ("sub-01_T1map", "parameter map"),
        ("sub-01_inv-1_MP2RAGE", "image of a series"),
        ("sub-01_flip-2_VFA", "image of a series"),
        ("sub-01_mt-on_MTR", "image of a series"),
        ("sub-01_desc-cpce_T2w", RESULT),
        ("scan_desc-circleUncertainty", RESULT),
    ],
)
def test_what_is_no_scan_by_its_name(name, reason):
    assert why_not(Path(f"{name}.nii.gz")) == reason


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_T2w",
        "sub-mask_T2w",  # a label of somebody's choice
        "sub-01_acq-mask_T2w",
        "sub-01_acq-hires_run-2_rec-norm_T2w",
        "sub-01_dir-AP_echo-1_T2w",
        "sub-01_part-mag_T2w",
        "sub-01_ce-gd_T1w",
        "sub-01_T2starw",
        "sub-01_T2w_masked",
        "sub-01_T2w_brain",
        "sub-01_space-MNI_desc-preproc_T1w",
        "lesion_01_T2",
        "vsseg001_T1ce",
        "IXI012-HH-1211-T2",
        "2001",
    ],
)
def test_scans_are_kept(name):
    assert why_not(Path(f"{name}.nii.gz")) == ""


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, "phase image"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}, ""),
        ({"ComplexImageComponent": "REAL"}, "real part"),
        ({"ImageType": "unusual"}, ""),
        ([], ""),
    ],
)
def test_a_sidecar_tells_phases_from_magnitudes(tmp_path, sidecar, reason):
    (tmp_path / "scan.json").write_text(json.dumps(sidecar))
    assert why_not(tmp_path / "scan.nii.gz") == reason


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_of_a_scan_and_its_resampled_copy_the_one_as_acquired_is_used(tmp_path, suffix):
    copy = tmp_path / "t2_tse_7_Eq_1.nii.gz"
    assert why_not(copy) == ""
    (tmp_path / f"t2_tse_7{suffix}").touch()
    assert why_not(copy) == RESAMPLED
    assert why_not(tmp_path / f"t2_tse_7{suffix}") == ""


def test_a_result_is_known_by_its_sidecar_or_else_its_name(tmp_path):
    assert is_result(Path("sub-01_desc-circleUncertainty_T2w.nii.gz"))
    assert not is_result(tmp_path / "scan.nii")
    assert not is_result(Path("sub-01_desc-preproc_T2w.nii.gz"))
    (tmp_path / "other.json").write_text(json.dumps({"GeneratedBy": [{"Name": "srmri-tf"}]}))
    assert is_result(tmp_path / "other.nii.gz")
    (tmp_path / "sub-01_T2w.json").write_text('{"EchoTime": 0.1, "GeneratedBy": "a scanner"}')
    assert not is_result(tmp_path / "sub-01_T2w.nii.gz")


def test_what_is_left_out_is_counted_and_listed():
    left = [LeftOut(Path(f"{n}.nii"), "mask") for n in "ba"] + [LeftOut(Path("c.nii"), RESULT)]
    assert counted(left) == (
        "left out 3: 2 masks, 1 result of srmri-tf\n  a.nii: mask\n  b.nii: mask\n"
        "  c.nii: result of srmri-tf"
    )
    assert counted([]) == ""
    many = [LeftOut(Path(f"{n:02}.nii"), RESULT) for n in range(30)]
    assert counted(many).startswith("left out 30: 30 results of srmri-tf\n")
    assert counted(many).endswith("\n  and 10 more")
