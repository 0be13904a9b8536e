"""What is to be enhanced and where it goes."""

import json
import math
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError
from data_prep.scans.choosing import LeftOut
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.worklist import make_worklist, name_warnings
from tests.data_prep.malformed import CASES
from tests.data_prep.phantoms import phantom, save


def results(worklist, root):
    return [job.target("cpce", False).image.relative_to(root).as_posix() for job in worklist.jobs]


@pytest.fixture
def bids(tmp_path):
    root = tmp_path / "raw"
    (root / "sub-1").mkdir(parents=True)
    (root / "dataset_description.json").write_text("{}")
    for name in (
        "sub-1/anat/sub-1_T2w.nii.gz",
        "sub-1/anat/sub-1_T1w.nii.gz",
        "sub-1/anat/sub-1_desc-brain_mask.nii.gz",
        "sub-2/ses-1/anat/sub-2_ses-1_T2w.nii.gz",
        "sub-1/func/sub-1_task-rest_bold.nii.gz",
        "derivatives/other/sub-1/anat/sub-1_desc-x_T2w.nii.gz",
    ):
        save(root / name)
    return root


def test_a_file_s_result_lies_beside_it_or_where_it_is_told(tmp_path):
    scan = save(tmp_path / "in" / "scan.nii.gz")
    beside = make_worklist([scan])
    assert results(beside, tmp_path) == ["in/scan_desc-cpce.nii.gz"]
    assert [job.root for job in beside.jobs] == [None]
    folder = make_worklist([scan, scan], tmp_path / "out")
    assert results(folder, tmp_path) == ["out/scan_desc-cpce.nii.gz"]
    assert [job.root for job in folder.jobs] == [tmp_path / "out"]
    named = make_worklist([scan], tmp_path / "new" / "sharp.nii")
    assert results(named, tmp_path) == ["new/sharp.nii"]
    spread = named.jobs[0].target("cpce", uncertainty=True).uncertainty
    assert spread == tmp_path / "new" / "sharp_desc-uncertainty.nii"


def test_a_folder_keeps_its_form(tmp_path):
    root = tmp_path / "scans"
    for name in ("b.nii.gz", "one/a.nii", "two/a.nii"):
        save(root / name)
    (root / "readme.txt").write_text("hello")
    expected = ["b_desc-cpce.nii.gz", "one/a_desc-cpce.nii", "two/a_desc-cpce.nii"]
    assert results(make_worklist([root], tmp_path / "out"), tmp_path / "out") == expected
    inside = make_worklist([root])
    own = root / "derivatives" / "srmri-tf"
    assert {job.root for job in inside.jobs} == {own}
    assert results(inside, own) == expected
    # What is there from an earlier call is no scan.
    save(own / "b_desc-cpce.nii.gz")
    assert results(make_worklist([root]), own) == expected


@pytest.mark.parametrize("out", ["scans", "scans/../scans", "."])
def test_results_may_go_into_the_scans_own_folder_or_above(tmp_path, out):
    save(tmp_path / "scans" / "a.nii")
    save(tmp_path / "scans" / "a_desc-cpce.nii")
    worklist = make_worklist([tmp_path / "scans"], tmp_path / out)
    assert [job.scan.name for job in worklist.jobs] == ["a.nii"]


def test_a_pattern_that_finds_its_own_results_leaves_them_out(tmp_path):
    for name in ("a", "a_desc-cpce", "a_desc-cpceUncertainty", "b_desc-circle"):
        save(tmp_path / f"{name}.nii.gz")
    found = make_worklist([tmp_path / "*.nii.gz"])
    assert [job.scan.name for job in found.jobs] == ["a.nii.gz"]
    assert sorted(path.name for path, _ in found.left_out) == [
        "a_desc-cpce.nii.gz",
        "a_desc-cpceUncertainty.nii.gz",
        "b_desc-circle.nii.gz",
    ]
    named = make_worklist(sorted(tmp_path.glob("*.nii.gz")), tmp_path / "out")  # as a shell does
    assert [job.scan.name for job in named.jobs] == ["a.nii.gz", "b_desc-circle.nii.gz"]
    assert [name_warnings(job) for job in named.jobs] == [
        [],
        ["is itself a result of srmri-tf, not a scan"],
    ]


def test_two_bids_data_sets_do_not_become_one(bids, tmp_path):
    other = shutil.copytree(bids, tmp_path / "other")
    worklist = make_worklist([bids, other])
    roots = {dataset / "derivatives" / "srmri-tf" for dataset in (bids, other)}
    assert {job.root for job in worklist.jobs} == roots
    (other / "sub-1").rename(other / "sub-3")
    (other / "sub-2").rename(other / "sub-4")
    for scan in other.glob("sub-*/**/*.nii.gz"):
        subject = scan.relative_to(other).parts[0]
        scan.rename(scan.with_name(subject + scan.name[5:]))
    with pytest.raises(ConfigError, match="several BIDS data sets"):
        make_worklist([bids, other], tmp_path / "out")


def test_a_bids_data_set_becomes_a_derivative_one(bids):
    worklist = make_worklist([bids])
    assert results(worklist, bids / "derivatives" / "srmri-tf") == [
        "sub-1/anat/sub-1_res-2x_desc-cpce_T1w.nii.gz",
        "sub-1/anat/sub-1_res-2x_desc-cpce_T2w.nii.gz",
        "sub-2/ses-1/anat/sub-2_ses-1_res-2x_desc-cpce_T2w.nii.gz",
    ]
    assert {job.dataset for job in worklist.jobs} == {bids}
    assert len(make_worklist([bids], modality="t1w").jobs) == 1
    with pytest.raises(BadInputError, match="no scan of modality FLAIR: the 3 found are of T1, T2"):
        make_worklist([bids], modality="FLAIR")


def test_the_same_grid_has_no_resolution_of_its_own(bids):
    found = make_worklist([bids / "sub-2"], config=EnhanceConfig(same_grid=True))
    assert [job.target("cpce", False).image.name for job in found.jobs] == [
        "sub-2_ses-1_desc-cpce_T2w.nii.gz"
    ]


@pytest.mark.parametrize("label", ["2", "sub-2"])
def test_participants_are_chosen_as_bids_apps_choose_them(bids, label):
    assert [job.scan.parts[-4] for job in make_worklist([bids], participants=[label]).jobs] == [
        "sub-2"
    ]
    assert len(make_worklist([bids], participants=[label, "1"]).jobs) == 3
    with pytest.raises(BadInputError, match="no scan of participant 02, 7; participants found: 1"):
        make_worklist([bids], participants=[label, "7", "sub-02"])


@pytest.mark.parametrize(
    ("name", "contrast"),
    [
        ("scan.nii.gz", "unknown"),
        ("sub-1_T1w.nii.gz", "T1 by its name"),
        ("anna_t1c.nii.gz", "T1CE by its name"),
        ("t1_reg_to_t2.nii.gz", "T1 by its name"),
        ("ixi_t1_defaced_example1.nii.gz", "T1 by its name"),
        ("patient03_study1_T2W.nii.gz", "T2 by its name"),
        ("head FLAIR.nii.gz", "FLAIR by its name"),
    ],
)
def test_the_model_and_a_scan_s_contrast_are_said(tmp_path, name, contrast):
    worklist = make_worklist([save(tmp_path / name)])
    assert worklist.summary("mine") == [f"model mine: {name} (contrast {contrast})"]


def test_a_sidecar_s_timing_decides_the_contrast(tmp_path):
    save(tmp_path / "scan.nii.gz")
    (tmp_path / "scan.json").write_text('{"EchoTime": 0.003, "RepetitionTime": 0.007}')
    for number in range(4):
        save(tmp_path / f"s{number}_T2.nii.gz")
    assert make_worklist([tmp_path]).summary("mine") == [
        "model mine: 4 scans (contrast T2 by its name)",
        "model mine: scan.nii.gz (contrast T1 by its sidecar)",
    ]


@pytest.mark.parametrize("given", [".", "*.nii.gz"])
def test_what_is_no_scan_is_left_out_and_listed(tmp_path, given):
    for name in ("a_T2", "a_T2_mask", "sub-1_part-phase_T2w", "a_T2_desc-cpce"):
        save(tmp_path / f"{name}.nii.gz")
    save(tmp_path / "b.nii.gz", (phantom() > 500).astype(np.uint8))
    worklist = make_worklist([tmp_path / given], tmp_path / "out", modality="T2")
    assert [job.scan.name for job in worklist.jobs] == ["a_T2.nii.gz"]
    assert sorted((path.name, reason) for path, reason in worklist.left_out) == [
        ("a_T2_desc-cpce.nii.gz", "result of srmri-tf"),
        ("a_T2_mask.nii.gz", "mask"),
        ("b.nii.gz", "scan of unknown contrast"),
        ("sub-1_part-phase_T2w.nii.gz", "phase image"),
    ]
    assert (tmp_path / "b.nii.gz", "label image") in make_worklist([tmp_path]).left_out


def test_a_label_image_alone_is_refused_with_the_reason(tmp_path):
    drawn = save(tmp_path / "scan.nii.gz", (phantom() > 500).astype(np.uint8))
    with pytest.raises(BadInputError, match=r"no scan is left: left out 1: 1 label image"):
        make_worklist([drawn])


@pytest.mark.parametrize(
    "names", [("a/x.nii.gz", "b/x.nii.gz"), ("x.nii", "x.nii.gz"), ("a/x.nii", "b/X.nii")]
)
def test_two_inputs_with_one_output_name_are_refused(tmp_path, names):
    scans = [save(tmp_path / name) for name in names]
    with pytest.raises(ConfigError, match="would have one name") as caught:
        make_worklist(scans, tmp_path / "out")
    assert all(str(scan) in str(caught.value) for scan in scans)
    assert not (tmp_path / "out").exists()


def test_several_scans_do_not_go_into_one_file(tmp_path):
    scans = [save(tmp_path / name) for name in ("a.nii", "b.nii")]
    with pytest.raises(ConfigError, match="is one file, but there are 2 scans"):
        make_worklist(scans, tmp_path / "out.nii.gz")


def test_a_file_is_no_folder_for_results(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is a file, not a folder"):
        make_worklist([save(tmp_path / "a.nii")], tmp_path / "notes.txt")


def test_results_are_left_out_of_folders_and_named_ones_are_warned_of(tmp_path):
    scan = save(tmp_path / "scan.nii.gz")
    result = Path(shutil.copy(scan, tmp_path / "scan_desc-cpce.nii.gz"))
    worklist = make_worklist([tmp_path], tmp_path / "out")
    assert [job.scan for job in worklist.jobs] == [scan]
    assert worklist.left_out == ((result, "result of srmri-tf"),)
    assert not any(map(name_warnings, worklist.jobs))
    renamed = Path(shutil.copy(scan, tmp_path / "other.nii.gz"))
    sidecar = {"GeneratedBy": [{"Name": "srmri-tf"}]}
    (tmp_path / "other.json").write_text(json.dumps(sidecar))
    named = make_worklist([result, renamed], tmp_path / "out")
    assert [len(name_warnings(job)) for job in named.jobs] == [1, 1]
    scan.unlink()
    with pytest.raises(BadInputError, match="no scan is left"):
        make_worklist([tmp_path], tmp_path / "out")


def test_all_bad_headers_are_named_at_once(tmp_path):
    for name in ("five_axes", "rgb"):
        (tmp_path / name).mkdir()
        CASES[name][0](tmp_path / name)
    good = save(tmp_path / "good.nii")
    worklist = make_worklist([tmp_path], tmp_path / "out")
    assert [job.scan for job in worklist.jobs] == [good]
    assert len(worklist.faults) == 2
    good.unlink()
    with pytest.raises(BadInputError, match="2 scans cannot be used") as caught:
        make_worklist([tmp_path], tmp_path / "out")
    assert "is a series of volumes" in str(caught.value)
    assert "holds colour voxels" in str(caught.value)


@pytest.mark.parametrize(
    "shape", [pytest.param((1024, 1024, 300), marks=pytest.mark.slow), (16384, 6, 2)]
)
def test_a_result_too_large_to_be_written_and_read_again_is_refused(tmp_path, shape):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_zooms((1, 1, 1))
    header["magic"], header["vox_offset"] = b"n+1", 352
    path = tmp_path / "large.nii"
    with path.open("wb") as file:
        file.write(header.binaryblock + bytes(4))
        file.truncate(352 + math.prod(shape))  # a sparse file
    with pytest.raises(BadInputError, match=r"would become a volume of .*--same-grid"):
        make_worklist([path])
    assert len(make_worklist([path], config=EnhanceConfig(same_grid=True)).jobs) == 1


def test_a_folder_without_scans_is_refused(tmp_path):
    (tmp_path / "scan.h5").write_bytes(b"\x89HDF")
    with pytest.raises(BadInputError, match="holds no scan to enhance"):
        make_worklist([tmp_path])


def test_k_space_in_a_folder_of_scans_is_left_out_and_listed(bids):
    kspace = bids / "sub-2" / "ses-1" / "anat" / "sub-2_ses-1_kspace.h5"
    kspace.write_bytes(b"\x89HDF")
    worklist = make_worklist([bids / "sub-2" / "ses-1" / "anat"])
    assert LeftOut(kspace, "k-space of fastMRI") in worklist.left_out
    assert len(worklist.jobs) == 1


def test_a_subject_s_folder_keeps_its_place_in_the_data_set(bids, tmp_path, monkeypatch):
    expected = ["sub-2/ses-1/anat/sub-2_ses-1_res-2x_desc-cpce_T2w.nii.gz"]
    for given in ("sub-2", "sub-2/ses-1", "sub-2/ses-1/anat"):
        worklist = make_worklist([bids / given], tmp_path / "out")
        assert results(worklist, tmp_path / "out") == expected
        assert worklist.jobs[0].dataset == bids
    monkeypatch.chdir(bids)
    assert results(make_worklist([Path("sub-2")]), bids / "derivatives" / "srmri-tf") == expected


def test_scans_that_were_not_fetched_are_named_or_left_out(tmp_path):
    save(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(".git/annex/objects/MD5E-s9--0f.nii.gz")
    with pytest.raises(BadInputError, match=r"content of 1 of 2 scans is not here:\n.*\n.*datalad"):
        make_worklist([tmp_path])
    assert len(make_worklist([tmp_path], allow_missing=True).jobs) == 1


@pytest.mark.parametrize("name", ["out.mgz", "out.nrrd", "out.img.gz", "OUT.MGZ"])
def test_a_result_of_another_format_is_refused(tmp_path, name):
    scan = save(tmp_path / "a.nii")
    with pytest.raises(ConfigError, match=r"is no name for a result, which is a NIfTI file"):
        make_worklist([scan], tmp_path / name)
    (tmp_path / name).mkdir()
    assert len(make_worklist([scan], tmp_path / name).jobs) == 1
    assert len(make_worklist([scan], tmp_path / "version1.2").jobs) == 1


def test_a_folder_of_dicom_files_is_enhanced_as_what_it_is_converted_to(tmp_path, monkeypatch):
    made = save(tmp_path / "made" / "sub-A_series-7_T2.nii")
    monkeypatch.setattr("data_prep.scans.dicom.converted", lambda folder: [made])
    (tmp_path / "dicom").mkdir()
    (job,) = make_worklist([tmp_path / "dicom"]).jobs
    assert (job.scan, job.contrast.label) == (made, "T2")
    assert job.folder == tmp_path / "dicom" / "derivatives" / "srmri-tf"


def test_pairs_series_and_mgh_files_are_enhanced_and_their_masks_are_not(tmp_path):
    series = np.stack([phantom(), phantom(seed=1)], axis=-1).astype(np.float32)
    nib.save(nib.Nifti1Pair(series, np.eye(4)), tmp_path / "a_T2.img")
    for name, voxels in (("b_T1", phantom()), ("c_T1", phantom() > 500), ("d_mask", phantom())):
        nib.save(nib.MGHImage(voxels.astype(np.float32), np.eye(4)), tmp_path / f"{name}.mgz")
    worklist = make_worklist([tmp_path], tmp_path / "out")
    assert [job.scan.name for job in worklist.jobs] == ["a_T2.hdr", "b_T1.mgz"]
    assert sorted((path.name, reason) for path, reason in worklist.left_out) == [
        ("c_T1.mgz", "label image"),
        ("d_mask.mgz", "mask"),
    ]
