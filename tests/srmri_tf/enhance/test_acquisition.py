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
    assert acquisition_of(tmp_path / "scan.nii.gz", None) == {
        "EchoTime": 0.1,
        "Manufacturer": "Siemens",
        "SkullStripped": False,
    }


@pytest.mark.parametrize(("said", "kept"), [(True, True), (False, False), ("yes", False)])
def test_what_the_scan_says_of_its_skull_counts(tmp_path, said, kept):
    write(tmp_path / "scan.json", SkullStripped=said)
    assert acquisition_of(tmp_path / "scan.nii", None) == {"SkullStripped": kept}


def test_sidecars_are_inherited_and_the_nearest_one_counts(tmp_path):
    anat = tmp_path / "sub-1" / "ses-2" / "anat"
    write(tmp_path / "T2w.json", EchoTime=1, RepetitionTime=1, FlipAngle=1, MagneticFieldStrength=3)
    write(tmp_path / "acq-hr_T2w.json", FlipAngle=2)  # of the same folder: more entities, later
    write(tmp_path / "acq-lr_T2w.json", FlipAngle=3)
    write(tmp_path / "T1w.json", DwellTime=1)
    write(tmp_path / "sub-1" / "sub-1_T2w.json", RepetitionTime=4)
    write(anat / "sub-1_ses-2_acq-hr_T2w.json", EchoTime=5)
    write(anat / "sub-1_ses-2_acq-hr_run-2_T2w.json", EchoTime=6)
    write(tmp_path.parent / "T2w.json", InversionTime=7)  # above the data set
    scan = anat / "sub-1_ses-2_acq-hr_T2w.nii.gz"
    assert acquisition_of(scan, tmp_path) == {
        "EchoTime": 5,
        "RepetitionTime": 4,
        "FlipAngle": 2,
        "MagneticFieldStrength": 3,
        "SkullStripped": False,
    }
    assert acquisition_of(scan, None) == {"EchoTime": 5, "SkullStripped": False}
    (tmp_path.parent / "T2w.json").unlink()
