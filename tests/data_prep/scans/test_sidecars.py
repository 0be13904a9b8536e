"""Sidecars: what a scan inherits from folders above, by hand after the BIDS specification."""

import json

import pytest

from data_prep.scans.choosing import why_not
from data_prep.scans.contrast import contrast_of
from data_prep.scans.sidecars import metadata_of
from data_prep.scans.sources import find
from tests.data_prep.scans.test_sources import touch

SCAN = "bids/sub-01/ses-2/anat/sub-01_ses-2_acq-hr_T2w.nii.gz"
T1 = {"RepetitionTime": 0.5, "EchoTime": 0.01}
T2 = {"RepetitionTime": 4.0, "EchoTime": 0.09}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def test_the_nearest_sidecar_counts_key_by_key(tmp_path):
    touch(tmp_path, SCAN)
    levels = {
        "bids/T2w.json": {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1},
        "bids/sub-01/sub-01_T2w.json": {"b": 2, "c": 2, "d": 2, "e": 2},
        "bids/sub-01/ses-2/sub-01_ses-2_T2w.json": {"c": 3, "d": 3, "e": 3},
        "bids/sub-01/ses-2/anat/acq-hr_T2w.json": {"d": 4, "e": 4},
        "bids/sub-01/ses-2/anat/sub-01_ses-2_acq-hr_T2w.json": {"e": 5},
    }
    write(tmp_path, levels)
    assert metadata_of(tmp_path / SCAN) == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}


@pytest.mark.parametrize(
    "other",
    [
        "bids/T1w.json",  # another suffix
        "bids/acq-lr_T2w.json",  # an entity that the scan has otherwise
        "bids/sub-01/ses-1/sub-01_T2w.json",  # a folder beside
        "T2w.json",  # above the data set
        "bids/sub-01/ses-2/anat/sub-01_ses-2_acq-hr_run-1_T2w.json",  # an entity more
    ],
)
def test_what_does_not_apply_is_not_inherited(tmp_path, other):
    touch(tmp_path, SCAN)
    write(tmp_path, {other: T1})
    assert metadata_of(tmp_path / SCAN) == {}


def test_a_damaged_sidecar_above_does_not_hide_the_others(tmp_path):
    touch(tmp_path, SCAN)
    write(tmp_path, {"bids/T2w.json": T2})
    (tmp_path / "bids/sub-01/sub-01_T2w.json").write_text("{")
    assert metadata_of(tmp_path / SCAN) == T2


def test_outside_of_bids_only_the_file_beside_a_scan_counts(tmp_path):
    touch(tmp_path, "scans/anna_T2.nii.gz")
    write(tmp_path, {"scans/T2.json": T1, "T2.json": T1})
    assert metadata_of(tmp_path / "scans/anna_T2.nii.gz") == {}
    write(tmp_path, {"scans/anna_T2.json": T2})
    assert metadata_of(tmp_path / "scans/anna_T2.nii.gz") == T2


def test_the_contrast_follows_inherited_timing(tmp_path):
    touch(tmp_path, SCAN)
    write(tmp_path, {"bids/T2w.json": T1})
    shown = contrast_of(tmp_path / SCAN, "T2")
    assert (shown.label, shown.source) == ("T1", "sidecar")
    (scan,) = find([tmp_path / "bids"]).scans
    assert scan.modality == "T1"
    write(tmp_path, {"bids/sub-01/sub-01_T2w.json": T2})
    assert contrast_of(tmp_path / SCAN, "T2").label == "T2"


def test_an_inherited_phase_is_left_out(tmp_path):
    touch(tmp_path, SCAN)
    write(tmp_path, {"bids/acq-hr_T2w.json": {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}})
    assert why_not(tmp_path / SCAN) == "phase image"
