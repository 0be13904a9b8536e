from pathlib import Path

import pytest

from data_prep.errors import BadInputError, ConfigError
from data_prep.scans.names import Scan, normal_modality, pattern_reader, read_name


@pytest.mark.parametrize(
    ("name", "subject", "session", "modality", "site"),
    [
        ("IXI012-HH-1211-T2.nii.gz", "IXI012", "", "T2", "HH"),
        ("IXI002-Guys-0828-PD.nii.gz", "IXI002", "", "PD", "Guys"),
        ("IXI035-IOP-0873-MRA.nii.gz", "IXI035", "", "MRA", "IOP"),
        ("IXI012-HH-1211-DTI-00.nii.gz", "IXI012", "", "DTI", "HH"),
        ("sub-01_T2w.nii.gz", "sub-01", "", "T2", ""),
        ("sub-01_ses-pre_acq-hi_run-2_T2w.nii", "sub-01", "ses-pre", "T2", ""),
        ("openms_patient03_study2_T2W.nii.gz", "openms_patient03", "study2", "T2", ""),
        ("anna-visit-1.nii.gz", "anna", "visit-1", "", ""),
        ("p7_tp02_FLAIR_brain.nii.gz", "p7", "tp02", "FLAIR", ""),
        ("A.scan2.nii.gz", "A", "scan2", "", ""),
        ("sub-02_T2w_brain.nii.gz", "sub-02", "", "T2", ""),
        ("sub-01_T2w_Eq_1.nii.gz", "sub-01", "", "T2", ""),
        ("sub-01_ses-pre_acq-hi_T2w_Eq_1.nii.gz", "sub-01", "ses-pre", "T2", ""),
        ("sub-01_ses-2_T1w_brain_Eq_2.nii", "sub-01", "ses-2", "T1", ""),
        ("sub-01_ses-pre_anything at all.nii", "sub-01", "ses-pre", "", ""),
        ("sub-01.nii", "sub-01", "", "", ""),
        ("sub-01_visit2_T2w.nii", "sub-01", "visit2", "T2", ""),
        ("sub-01_T2w_visit2.nii", "sub-01", "visit2", "", ""),
        ("sub-01_ses-pre_x_visit2.nii", "sub-01", "ses-pre", "", ""),
        ("IXI012-HH-1211-T2_brain.nii.gz", "IXI012", "", "T2", "HH"),
        ("IXI012-HH-1211-T2_scan2.nii.gz", "IXI012", "scan2", "", ""),
        ("IXI012_T2.nii.gz", "IXI012", "", "", ""),
        ("IXI012.nii.gz", "IXI012", "", "", ""),
        ("IXI012x_T2.nii.gz", "IXI012x_T2", "", "", ""),
        ("sub-01-copy.nii.gz", "sub-01-copy", "", "", ""),
        ("example1.nii.gz", "example1", "", "", ""),
        ("scan3.nii.gz", "scan3", "", "", ""),
        ("file1000001.h5", "file1000001", "", "", ""),
    ],
)
def test_names(name, subject, session, modality, site):
    path = Path("folder") / name
    assert read_name(path) == Scan(subject, session, path, modality, site)


@pytest.mark.parametrize("drawn", ["mask", "brain_mask", "dseg", "label", "lesion", "desc-cpce"])
@pytest.mark.parametrize("scan", ["sub-01_T2w", "sub-01_ses-pre_T2w", "IXI012-HH-1211-T2"])
def test_what_is_made_of_a_scan_is_the_persons_but_no_scan_of_the_modality(scan, drawn):
    found = read_name(Path(f"{scan}_{drawn}.nii.gz"))
    assert found.subject in ("sub-01", "IXI012")
    assert (found.modality, found.site) == ("", "")


def test_a_pattern_of_the_users_own():
    reader = pattern_reader(r"^(?P<session>\d+)_(?P<subject>[a-z]+)")
    path = Path("x/2019_anna.nii.gz")
    assert reader(path) == Scan("anna", "2019", path)
    with pytest.raises(BadInputError, match="does not match"):
        reader(Path("ANNA.nii.gz"))


def test_a_wrong_pattern_is_refused():
    with pytest.raises(ConfigError, match="not a regular expression"):
        pattern_reader("(")
    with pytest.raises(ConfigError, match="no group named subject"):
        pattern_reader(r"(?P<person>\w+)")


def test_modalities_are_compared_in_one_spelling():
    assert {normal_modality(label) for label in ("T2w", "t2", "T2W")} == {"T2"}
    assert normal_modality("inplaneT2") == "INPLANET2"
