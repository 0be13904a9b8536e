"""Folders of DICOM files; a head of three slices is written here, as a scanner would."""

import os
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError, EnvironmentFault
from data_prep.files import own_prefix
from data_prep.prepare import pipeline
from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.scans import choosing, dicom
from data_prep.scans.sources import find, read, slice_layout
from data_prep.shards.schema import Parameters, SplitRule
from tests.data_prep.phantoms import phantom, save

MR = "1.2.840.10008.5.1.4.1.1.4"
LITTLE = "1.2.840.10008.1.2.1"
LONG = ("OB", "OW", "UN")


def element(group, number, kind, value) -> bytes:
    """One data element in explicit little-endian."""
    if isinstance(value, str):
        value = value.encode()
        value += (b"\0" if kind == "UI" else b" ") * (len(value) % 2)
    elif isinstance(value, int):
        value = struct.pack("<H" if kind == "US" else "<I", value)
    size = struct.pack("<HI", 0, len(value)) if kind in LONG else struct.pack("<H", len(value))
    return struct.pack("<HH", group, number) + kind.encode() + size + value


def write_slice(
    path, pixels, number, patient, protocol="t2_tse_tra", kind="ORIGINAL", syntax=LITTLE, at=7
):
    """One slice ``(H, W)`` of series ``at`` at z = 3 mm * number, pixels of 0.9 (rows) x 0.8 mm."""
    uid = f"1.2.3.{number + 1}"
    meta = element(2, 2, "UI", MR) + element(2, 3, "UI", uid) + element(2, 0x10, "UI", syntax)
    data = [
        (0x8, 0x8, "CS", f"{kind}\\PRIMARY\\M\\ND"),
        (0x8, 0x16, "UI", MR),
        (0x8, 0x18, "UI", uid),
        (0x8, 0x20, "DA", "20200102"),
        (0x8, 0x22, "DA", "20200102"),
        (0x8, 0x32, "TM", "101112"),
        (0x8, 0x60, "CS", "MR"),
        (0x8, 0x70, "LO", "SIEMENS"),
        (0x8, 0x103E, "LO", protocol),
        (0x10, 0x20, "LO", patient),
        (0x18, 0x50, "DS", "3"),
        (0x18, 0x80, "DS", "4000"),
        (0x18, 0x81, "DS", "90"),
        (0x18, 0x88, "DS", "3"),
        (0x18, 0x1030, "LO", protocol),
        (0x20, 0xD, "UI", f"1.2.3.4{sum(patient.encode())}"),
        (0x20, 0xE, "UI", f"1.2.{at}.5{sum(patient.encode())}"),
        (0x20, 0x11, "IS", str(at)),
        (0x20, 0x12, "IS", "1"),
        (0x20, 0x13, "IS", str(number + 1)),
        (0x20, 0x32, "DS", f"-10\\-12\\{3 * number}"),
        (0x20, 0x37, "DS", "1\\0\\0\\0\\1\\0"),
        (0x28, 0x2, "US", 1),
        (0x28, 0x4, "CS", "MONOCHROME2"),
        (0x28, 0x10, "US", pixels.shape[0]),
        (0x28, 0x11, "US", pixels.shape[1]),
        (0x28, 0x30, "DS", "0.9\\0.8"),
        (0x28, 0x100, "US", 16),
        (0x28, 0x101, "US", 12),
        (0x28, 0x102, "US", 11),
        (0x28, 0x103, "US", 0),
        (0x7FE0, 0x10, "OW", pixels.astype("<u2").tobytes()),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes(128) + b"DICM" + element(2, 0, "UL", len(meta)) + meta
    path.write_bytes(head + b"".join(element(*fields) for fields in data))


def series(folder, patient, seed=0, slices=5, **options) -> np.ndarray:
    """Write a series and return its slices, row 0 the front and column 0 the patient's right."""
    images = phantom((24, 20, slices), seed).T.round()
    for number, image in enumerate(images):
        write_slice(folder / f"IM{number}", image, number, patient, **options)
    return images


@pytest.fixture
def program():
    """dcm2niix, if it is installed."""
    try:
        return dicom._program()
    except EnvironmentFault:
        pytest.skip("dcm2niix is not installed")


@pytest.mark.usefixtures("program")
def test_a_series_becomes_a_scan_of_its_patient(tmp_path):
    images = series(tmp_path / "dicom", "ID 01")
    (scan,) = find([tmp_path / "dicom"]).scans
    assert (scan.subject, scan.session, scan.modality) == ("sub-ID01", "ses-20200102", "T2")
    assert slice_layout(scan.path, "auto", "kspace") == ("axial", (5, 20, 24))
    volume = read(scan.path, "axial", "kspace")
    np.testing.assert_array_equal(volume.images, images)
    assert volume.spacing == (0.9, 0.8, 3)
    # DICOM's left is NIfTI's minus: x and y are reversed.
    corner = nib.affines.apply_affine(nib.load(scan.path).affine, (0, 19, 0))
    np.testing.assert_allclose(sorted(abs(corner)), [0, 10, 12], atol=1e-5)
    assert not list((tmp_path / "dicom").glob("*.nii*"))


@pytest.mark.usefixtures("program")
def test_folders_of_patients_are_prepared(tmp_path):
    for seed, name in enumerate(("a", "b", "c")):
        series(tmp_path / "dicom" / name / "deep", f"P{name}", seed)
    config = PrepareConfig(parameters=Parameters(patch_size=10), split_rule=SplitRule(seed=1))
    manifest = prepare([tmp_path / "dicom"], tmp_path / "out", config)
    assert {shard.subject for shard in manifest.shards} == {"sub-Pa", "sub-Pb", "sub-Pc"}
    dicom._converted.cache_clear()  # as another process would
    again = prepare([tmp_path / "dicom"], tmp_path / "out", config)
    assert again == manifest


@pytest.mark.usefixtures("program")
def test_what_was_made_of_a_series_before_an_interrupt_is_kept(tmp_path, monkeypatch):
    for seed, name in enumerate(("a", "b", "c")):
        series(tmp_path / "dicom" / name, f"P{name}", seed)
    out = tmp_path / "out"
    config = PrepareConfig(
        parameters=Parameters(patch_size=10), split_rule=SplitRule(val_fraction=0, test_fraction=0)
    )
    attempt, finished = pipeline.attempt, []

    def stop(job):
        if len(finished) == 2:
            raise KeyboardInterrupt
        finished.append(out / job.item.file)
        return attempt(job)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "attempt", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare([tmp_path / "dicom"], out, config)
    before = [path.stat().st_mtime_ns for path in finished]
    dicom._converted.cache_clear()  # as another process would
    manifest = prepare([tmp_path / "dicom"], out, config)
    assert [path.stat().st_mtime_ns for path in finished] == before
    assert len(manifest.shards) == 3
    # A series with other pixels under the same names is made again.
    shutil.rmtree(out)
    finished.clear()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "attempt", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare([tmp_path / "dicom"], out, config)
    before = [path.stat().st_mtime_ns for path in finished]
    series(tmp_path / "dicom" / "a", "Pa", seed=9)
    dicom._converted.cache_clear()
    prepare([tmp_path / "dicom"], out, config)
    after = [path.stat().st_mtime_ns for path in finished]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


@pytest.mark.usefixtures("program")
def test_converted_series_come_in_the_order_of_their_folders(tmp_path):
    for number in range(4):
        series(tmp_path / "dicom" / f"series{number}", "P1", seed=number, slices=5 + number)
    scans = find([tmp_path / "dicom"]).scans
    assert [nib.load(scan.path).shape[2] for scan in scans] == [5, 6, 7, 8]


@pytest.mark.usefixtures("program")
def test_who_has_no_name_is_called_by_the_folder(tmp_path):
    for name in ("one", "two"):
        series(tmp_path / "dicom" / name, "", protocol="Localizer_fast")
    scans = find([tmp_path / "dicom"]).scans
    # Which contrast, the timing says: the protocol's name is that of none.
    assert [(scan.path.stem.rpartition("_")[2], scan.subject, scan.modality) for scan in scans] == [
        ("Localizerfast", "sub-one", "T2"),
        ("Localizerfast", "sub-two", "T2"),
    ]


@pytest.mark.usefixtures("program")
def test_folders_of_an_occasion_name_nobody(tmp_path):
    for at, when in enumerate(("pre", "post")):
        series(tmp_path / "dicom" / "p1" / when, "", seed=at)
    for source in (tmp_path / "dicom", tmp_path / "dicom" / "p1"):
        assert {scan.subject for scan in find([source]).scans} == {"sub-p1"}


@pytest.mark.usefixtures("program")
def test_series_beside_previews_and_behind_links_are_found(tmp_path):
    for number in range(60):
        preview = tmp_path / "dicom" / "p1" / f"{number}.jpg"
        preview.parent.mkdir(parents=True, exist_ok=True)
        preview.write_bytes(b"preview")
    series(tmp_path / "dicom" / "p1" / "series", "P1")
    series(tmp_path / "elsewhere", "P2", seed=1)
    (tmp_path / "dicom" / "p2").mkdir()
    (tmp_path / "dicom" / "p2" / "series").symlink_to(tmp_path / "elsewhere")
    assert [scan.subject for scan in find([tmp_path / "dicom"]).scans] == ["sub-P1", "sub-P2"]


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("protocol", "label"),
    [
        ("T2star_gre_tra", "T2STAR"),
        ("T1_se_UPDATED", "T1"),
        ("AXT1", "T1"),
        ("eT2starGRE", "T2STAR"),
        ("t1_flair_sag", "T1"),
    ],
)
def test_a_protocol_is_read_word_by_word(tmp_path, protocol, label):
    series(tmp_path / "dicom", "P1", slices=3, protocol=protocol)
    (scan,) = dicom.converted(tmp_path / "dicom")
    assert scan.stem == f"sub-P1_ses-20200102_series-7_{label}"


@pytest.mark.usefixtures("program")
def test_a_series_that_lacks_a_slice_is_one_scan_of_its_patient(tmp_path):
    images = series(tmp_path / "dicom", "P1", slices=8)
    (tmp_path / "dicom" / "IM3").unlink()
    found = find([tmp_path / "dicom"])
    (scan,) = found.scans
    assert (scan.subject, scan.path.stem) == ("sub-P1", "sub-P1_ses-20200102_series-7_T2")
    volume = read(scan.path, "axial", "kspace")
    np.testing.assert_array_equal(volume.images, np.delete(images, 3, axis=0))
    ((copy, reason),) = found.left_out
    assert (copy.stem, reason) == (f"{scan.path.stem}_Eq_1", choosing.RESAMPLED)


@pytest.mark.usefixtures("program")
def test_results_in_a_folder_of_dicom_files_do_not_hide_these(tmp_path):
    series(tmp_path / "dicom", "P1")
    before = find([tmp_path / "dicom"]).scans
    result = tmp_path / "dicom/derivatives/srmri-tf/sub-P1_desc-cpce_T2w.nii.gz"
    save(result)
    found = find([tmp_path / "dicom"])
    assert found.scans == before
    assert found.left_out == ((result, choosing.RESULT),)
    for file in (tmp_path / "dicom").glob("IM*"):
        file.unlink()
    with pytest.raises(BadInputError, match="left out 1: 1 result of srmri-tf"):
        find([tmp_path / "dicom"])


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "DERIVED"}, choosing.DERIVED),
        ({"syntax": "1.2.840.10008.1.2.4.100"}, choosing.ENCODED),
        ({"slices": 1}, choosing.NO_SERIES),
    ],
)
def test_series_that_make_no_scan_are_left_out_and_said(tmp_path, options, reason):
    folder = tmp_path / "dicom"
    series(folder / "a" / "1", "Pa")
    series(folder / "a" / "2", "Pa", at=8, **options)
    series(folder / "b", "Pb", **options)
    found = find([folder])
    assert [scan.subject for scan in found.scans] == ["sub-Pa"]
    within = [] if reason == choosing.NO_SERIES else [(folder / "a", reason)]
    assert list(found.left_out) == [*within, (folder / "b", reason)]
    shutil.rmtree(folder / "a")
    with pytest.raises(BadInputError, match="that dcm2niix makes no scan of") as caught:
        find([folder])
    assert f"left out 1: 1 {reason}\n  {folder / 'b'}: {reason}\n" in str(caught.value)


@pytest.mark.usefixtures("program")
def test_a_series_that_is_cut_off_is_refused_with_what_dcm2niix_says(tmp_path):
    series(tmp_path / "dicom" / "a", "Pa")
    series(tmp_path / "dicom" / "b", "Pa", at=8)
    cut = tmp_path / "dicom" / "b" / "IM2"
    cut.write_bytes(cut.read_bytes()[:-200])
    with pytest.raises(BadInputError, match=r"dicom/b: .*not large enough.*IM2"):
        find([tmp_path / "dicom"])
    series(tmp_path / "dicom" / "b" / "whole", "Pa")
    with pytest.raises(BadInputError, match=r"dicom/b: .*not large enough.*IM2"):
        find([tmp_path / "dicom"])


def test_a_full_disk_is_not_the_fault_of_the_scans(tmp_path, monkeypatch):
    """As dcm2niix tells it, whether it is installed or not."""
    program = tmp_path / "dcm2niix"
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ntouch "$2/series7.nii"\n'
        'echo "Error: Unable to write $2/series8.nii (disk full?)" >&2\nexit 8\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(dicom, "_program", lambda: str(program))
    series(tmp_path / "dicom", "P1")
    with pytest.raises(EnvironmentFault, match=r"srmri-tf-dicom-.*cannot be written.*TMPDIR"):
        find([tmp_path / "dicom"])


def test_what_killed_conversions_left_is_cleared(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = own_prefix("srmri-tf-dicom-")
    dead = tmp_path / (mine.replace(f"-{os.getpid()}-", "-4194305-") + "x")
    (dead / "000000").mkdir(parents=True)
    living = tmp_path / f"{mine}x"
    living.mkdir()
    with dicom._scratch.__wrapped__() as scratch:
        assert Path(scratch).name.startswith(mine)
        assert sorted(tmp_path.iterdir()) == sorted([living, Path(scratch)])


@pytest.mark.usefixtures("program")
def test_damaged_dicom_files_are_refused(tmp_path):
    (tmp_path / "IM0").write_bytes(bytes(128) + b"DICM" + b"x" * 300)
    with pytest.raises(BadInputError, match="that dcm2niix makes no scan of"):
        find([tmp_path])


def test_without_dcm2niix_the_remedy_is_named(tmp_path, monkeypatch):
    series(tmp_path / "dicom", "P1")
    monkeypatch.setitem(sys.modules, "dcm2niix", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentFault, match=r"srmri-tf\[dicom\]"):
        find([tmp_path / "dicom"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInputError, match="holds no scan"):
        find([tmp_path / "empty"])


def test_of_converted_series_phases_are_left_out(tmp_path, monkeypatch):
    """As dcm2niix calls them, whether it is installed or not."""
    made = [
        save(tmp_path / "made" / f"sub-A_ses-20200102_series-{name}.nii")
        for name in ("7_T2", "8_T2_ph", "9_T2_e2")
    ]
    made[0].with_suffix(".json").write_text('{"EchoTime": 0.09, "RepetitionTime": 4}')
    monkeypatch.setattr(dicom, "converted", lambda folder: made)
    (tmp_path / "dicom").mkdir()
    found = find([tmp_path / "dicom"])
    assert [(scan.path, scan.subject, scan.modality) for scan in found.scans] == [
        (made[0], "sub-A", "T2"),
        (made[2], "sub-A", "T2"),
    ]
    assert found.left_out == ((made[1], "phase image"),)
