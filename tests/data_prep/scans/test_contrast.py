"""Contrasts by names and by the timing in sidecars."""

import json
from pathlib import Path

import pytest

from data_prep.scans.contrast import by_name, by_text, by_timing, contrast_of, normal


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("scan", ""),
        ("not1", ""),
        ("sub-01_T1w", "T1"),
        ("sub-01_UNIT1", "T1"),
        ("sub-01_ce-gd_T1w", "T1CE"),
        ("sub-01_acq-T1_T2w", "T2"),
        ("sub-01_T2starw", "T2STAR"),
        ("t2_star_x", "T2STAR"),
        ("IXI012-HH-1211-T2", "T2"),
        ("ixi_t1_defaced_example1", "T1"),
        ("head FLAIR", "FLAIR"),
        ("t2_flair", "FLAIR"),
        ("t2_tirm_tra_dark-fluid", "FLAIR"),
        ("t1_flair", "T1"),
        ("t1_mprage_sag", "T1"),
        ("MPRAGE", "T1"),
        ("BraTS20_001_t1n", "T1"),
        ("BraTS20_001_t1c", "T1CE"),
        ("BraTS20_001_t2f", "FLAIR"),
        ("t1_reg_to_t2", "T1"),
        ("T2w_in_T1w_space", "T2"),
        ("sub-01_space-T1w_T2w", "T2"),
    ],
)
def test_by_name(name, label):
    assert by_name(Path(f"{name}.nii.gz")) == label


@pytest.mark.parametrize(
    ("echo", "repetition", "inversion", "label"),
    [
        (0.003, 2.3, 0.9, "T1"),  # MPRAGE
        (0.003, 0.007, None, "T1"),  # spoiled gradient echo
        (0.012, 0.5, None, "T1"),  # spin echo
        (0.1, 5.0, None, "T2"),
        (0.38, 3.2, None, "T2"),  # three-dimensional
        (0.1, 9.0, 2.5, "FLAIR"),
        (0.39, 5.0, 1.8, "FLAIR"),
        (0.015, 3.0, None, "PD"),
        (0.003, 2.3, None, ""),  # MPRAGE without its inversion time, perhaps
        (0.06, 4.0, 0.16, ""),  # STIR
        (0.02, 0.03, None, ""),  # susceptibility
        (0.02, 0.7, None, ""),
        (None, 2.0, None, ""),
        (0.1, None, None, ""),
    ],
)
def test_by_timing(echo, repetition, inversion, label):
    times = {"EchoTime": echo, "RepetitionTime": repetition, "InversionTime": inversion}
    assert by_timing(times) == label


@pytest.mark.parametrize(("echo", "repetition"), [(9, 550), (3.4, 7.5), (0.09, 4000), (90, 4)])
def test_times_in_milliseconds_are_not_believed(echo, repetition):
    assert by_timing({"EchoTime": echo, "RepetitionTime": repetition}) == ""


@pytest.mark.parametrize(
    ("text", "label"),
    [("T1_se_UPDATED", "T1"), ("T2* gre/tra t2_tse.1", "T2"), ("T2star_gre", "T2STAR"), ("a", "")],
)
def test_by_text(text, label):
    assert by_text(text) == label


@pytest.mark.parametrize("nonsense", ["0.1", True, -1, [0.1], None])
def test_timing_that_makes_no_sense_is_not_believed(nonsense):
    assert by_timing({"EchoTime": nonsense, "RepetitionTime": 5.0}) == ""


def test_the_sidecar_comes_before_the_name(tmp_path):
    def said(name, named, times):
        (tmp_path / f"{name}.json").write_text(json.dumps(times))
        return contrast_of(tmp_path / f"{name}.nii.gz", named)

    t2 = {"EchoTime": 0.1, "RepetitionTime": 5.0}
    assert str(said("a", "", t2)) == "T2 by its sidecar"
    assert str(said("b", "T1", {})) == "T1 by its name"
    assert str(said("c", "", {})) == "unknown"
    both = said("d", "T1", t2)
    assert (both.label, both.source) == ("T2", "sidecar")
    assert both.warning == "its name says T1, but the timing in its sidecar is that of T2"
    assert said("e", "T2", t2).warning == ""
    # No inversion time is not the same as no inversion.
    assert str(said("h", "FLAIR", t2)) == "FLAIR by its name"
    assert said("i", "FLAIR", t2 | {"InversionTime": 0.9}).warning == ""
    t1 = {"EchoTime": 0.003, "RepetitionTime": 2.3, "InversionTime": 0.9}
    assert said("j", "FLAIR", t1).label == "T1"
    # Timing does not tell these.
    assert said("f", "T2STAR", t2)[:2] == ("T2STAR", "name")
    assert said("g", "T1CE", {"EchoTime": 0.003, "RepetitionTime": 0.007})[:2] == ("T1CE", "name")


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("p1_ADC", ["DERIVED", "PRIMARY"]),
        ("p1_ep2d_diff_tra", []),
        ("p1_TOF", []),
        ("p1_dwi", []),
        ("p1", ["ORIGINAL", "PRIMARY", "DIFFUSION", "NORM"]),
        ("p1", ["DERIVED", "PRIMARY", "MIP"]),
    ],
)
def test_timing_says_nothing_of_diffusion_and_angiography(tmp_path, name, types):
    t2 = {"EchoTime": 0.09, "RepetitionTime": 6.0, "ImageType": types}
    (tmp_path / f"{name}.json").write_text(json.dumps(t2))
    assert str(contrast_of(tmp_path / f"{name}.nii.gz", "")) == "unknown"


def test_timing_is_believed_of_other_scans(tmp_path):
    t2 = {"EchoTime": 0.09, "RepetitionTime": 6.0, "ImageType": ["ORIGINAL", "PRIMARY", "M"]}
    (tmp_path / "fabian.json").write_text(json.dumps(t2))
    assert str(contrast_of(tmp_path / "fabian.nii.gz", "")) == "T2 by its sidecar"


def test_contrasts_are_compared_in_one_spelling():
    assert {normal(label) for label in ("T2w", "t2", "T2W")} == {"T2"}
    assert normal("inplaneT2") == "INPLANET2"
    assert {normal(label) for label in ("dark-fluid", "T2_FLAIR", "t2w flair")} == {"FLAIR"}
    assert (normal("MPRAGE"), normal("T2starw"), normal("")) == ("T1", "T2STAR", "")
