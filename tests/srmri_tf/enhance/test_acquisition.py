"""What the sidecar of a result takes over from those of its scan."""

import json

import pytest

from srmri_tf.enhance.acquisition import acquisition_of


def write(path, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))


def test_sequence_and_scanner_are_kept_and_grid_and_person_are_not(tmp_path):
    write(
        tmp_path / "scan.json",
        EchoTime=0.1,
        Manufacturer="Siemens",
        AcquisitionMatrixPE=256,
        PatientName="Anna",
        Sources=["raw.nii"],
        FlipAngle=float("nan"),  # Python writes and reads it, JSON has no such number
    )
    assert acquisition_of(tmp_path / "scan.nii.gz") == {
        "EchoTime": 0.1,
        "Manufacturer": "Siemens",
        "SkullStripped": False,
    }


@pytest.mark.parametrize(("said", "kept"), [(True, True), (False, False), ("yes", False)])
def test_what_the_scan_says_of_its_skull_counts(tmp_path, said, kept):
    write(tmp_path / "scan.json", SkullStripped=said)
    assert acquisition_of(tmp_path / "scan.nii") == {"SkullStripped": kept}


def test_what_a_scan_inherits_is_kept_too(tmp_path):
    scan = tmp_path / "sub-1" / "anat" / "sub-1_T2w.nii.gz"
    write(tmp_path / "T2w.json", MagneticFieldStrength=3, EchoTime=1)
    write(scan.parent / "sub-1_T2w.json", EchoTime=2)
    found = acquisition_of(scan)
    assert found == {"MagneticFieldStrength": 3, "EchoTime": 2, "SkullStripped": False}
