from pathlib import Path

import pytest

from data_prep.errors import BadInputError, ConfigError
from data_prep.scans.names import Scan, pattern_reader, read_name


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
        ("P01_T1_visit1.nii.gz", "P01", "visit1", "T1", ""),
        ("P01_T2_visit1.nii.gz", "P01", "visit1", "T2", ""),
        ("P01_t1_reg_to_t2_visit1.nii.gz", "P01", "visit1", "T1", ""),
        ("P01_PDx_visit1.nii.gz", "P01_PDx", "visit1", "", ""),
        ("sub-02_T2w_brain.nii.gz", "sub-02", "", "T2", ""),
        ("sub-01_T2w_Eq_1.nii.gz", "sub-01", "", "T2", ""),
        ("sub-01_ses-pre_acq-hi_T2w_Eq_1.nii.gz", "sub-01", "ses-pre", "T2", ""),
        ("sub-01_ses-2_T1w_brain_Eq_2.nii", "sub-01", "ses-2", "T1", ""),
        ("sub-01_ses-pre_anything at all.nii", "sub-01", "ses-pre", "", ""),
        ("sub-01.nii", "sub-01", "", "", ""),
        ("sub-01_visit2_T2w.nii", "sub-01", "visit2", "T2", ""),
        ("sub-01_T2w_visit2.nii", "sub-01", "visit2", "T2", ""),
        ("sub-01_ses-pre_x_visit2.nii", "sub-01", "ses-pre", "", ""),
        ("IXI012-HH-1211-T2_brain.nii.gz", "IXI012", "", "T2", "HH"),
        ("IXI012-HH-1211-T2_scan2.nii.gz", "IXI012", "scan2", "T2", ""),
        ("IXI012_T2.nii.gz", "IXI012", "", "T2", ""),
        ("IXI012.nii.gz", "IXI012", "", "", ""),
        ("IXI012x_T2.nii.gz", "IXI012x", "", "T2", ""),
        ("BraTS20_001_t1n.nii.gz", "BraTS20_001", "", "T1", ""),
        ("BraTS20_001_t1c.nii.gz", "BraTS20_001", "", "T1CE", ""),
        ("BraTS20_001_t2f.nii.gz", "BraTS20_001", "", "FLAIR", ""),
        ("BraTS20_001_t2w.nii.gz", "BraTS20_001", "", "T2", ""),
        ("anna_t1_reg_to_t2.nii.gz", "anna", "", "T1", ""),
        ("t1_reg_to_t2.nii.gz", "folder", "", "T1", ""),
        ("ixi_t1_defaced_example1.nii.gz", "ixi_t1_defaced_example1", "", "T1", ""),
        ("patient01_study1_T2W_mask.nii.gz", "patient01", "study1", "T2", ""),
        ("sub-01_T2starw.nii.gz", "sub-01", "", "T2STAR", ""),
        ("sub-01_ce-gd_T1w.nii.gz", "sub-01", "", "T1CE", ""),
        ("sub-01_acq-T1_T2w.nii.gz", "sub-01", "", "T2", ""),
        ("sub-01_ses-1_scan.nii.gz", "sub-01", "ses-1", "", ""),
        ("sub-01_inplaneT2.nii.gz", "sub-01", "", "INPLANET2", ""),
        ("sub-01_MP2RAGE.nii.gz", "sub-01", "", "MP2RAGE", ""),
        ("sub-01-copy.nii.gz", "sub-01-copy", "", "", ""),
        ("P01_pre_T2.nii", "P01", "pre", "T2", ""),
        ("P01_post-2_T2.nii", "P01", "post-2", "T2", ""),
        ("P01_T1_followup.nii", "P01", "followup", "T1", ""),
        ("P01_2020-01-02_T2.nii", "P01", "2020-01-02", "T2", ""),
        ("P01_week12_T2.nii", "P01", "week12", "T2", ""),
        ("100307_3T_T1w_MPR2.nii.gz", "100307_3T", "", "T1", ""),
        ("100307_3T_T2w_SPC1.nii.gz", "100307_3T", "", "T2", ""),
        ("Jose\u0301_visit2_T2.nii", "Jos\u00e9", "visit2", "T2", ""),
        ("example1.nii.gz", "example1", "", "", ""),
        ("scan3.nii.gz", "scan3", "", "", ""),
        ("file1000001.h5", "file1000001", "", "", ""),
    ],
)
def test_names(name, subject, session, modality, site):
    path = Path("folder") / name
    assert read_name(path) == Scan(subject, session, path, modality, site)


@pytest.mark.parametrize(
    ("path", "subject", "session"),
    [
        ("patient01/T2.nii.gz", "patient01", ""),
        ("patient01/t2_brain.nii.gz", "patient01", ""),
        ("patient01/T2w_FLAIR.nii.gz", "patient01", ""),
        ("patient01/T2_visit1.nii.gz", "patient01", "visit1"),
        ("patient01/visit1/T2.nii.gz", "patient01", "visit1"),
        ("patient01/2020-01-02/anat/T2.nii.gz", "patient01", "2020-01-02"),
        ("patient01/pre/T2.nii.gz", "patient01", "pre"),
        ("20251301/T2.nii.gz", "20251301", ""),
        ("patient01_visit2/T2.nii.gz", "patient01", "visit2"),
        ("sub-01_x/ses-2/T2/T2.nii.gz", "sub-01", "ses-2"),
        ("IXI012-HH-1211/T2.nii.gz", "IXI012", ""),
        ("bert/mri/T1.mgz", "bert", ""),
        ("Jose\u0301/T2.nii.gz", "Jos\u00e9", ""),
        ("x/y/../../patient01/../patient02/T2.nii.gz", "patient02", ""),
        ("patient01/scan.nii.gz", "scan", ""),
        ("patient01/t2_tse.nii.gz", "t2_tse", ""),
    ],
)
def test_a_name_that_is_but_a_contrast_is_of_whom_the_folder_is_called(path, subject, session):
    scan = read_name(Path("scans") / path)
    assert (scan.subject, scan.session) == (subject, session)


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
