import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError
from data_prep.scans.sources import find, read, slice_layout
from data_prep.shards.schema import read_manifest
from srmri_tf.cli import main
from tests.data_prep.phantoms import affine, phantom, save


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*sources, **options) -> list[str]:
    return [scan.path.name for scan in find(sources, **options).scans]


def test_folders_files_and_patterns(tmp_path):
    touch(tmp_path, "b.nii.gz", "deep/er/a.nii", "notes.txt", ".hidden.nii", "d.nii.txt")
    touch(tmp_path / "x", "one.nii", "two.nii.gz", "three.txt")
    assert found(tmp_path / "x") == ["one.nii", "two.nii.gz"]
    assert found(tmp_path / "x" / "*.gz") == ["two.nii.gz"]
    assert found(tmp_path / "**" / "a.nii") == ["a.nii"]
    assert found(tmp_path / "x" / "one.nii", tmp_path / "x") == ["one.nii", "two.nii.gz"]


def test_a_file_counts_once_whatever_path_leads_to_it(tmp_path, monkeypatch):
    touch(tmp_path / "d", "a.nii.gz")
    (tmp_path / "e").symlink_to(tmp_path / "d")
    monkeypatch.chdir(tmp_path)
    around = Path("d", "..", "d", "a.nii.gz")
    (scan,) = find([tmp_path / "d" / "a.nii.gz", Path("e", "a.nii.gz"), Path("d"), around]).scans
    assert scan.path == around


def test_a_link_is_called_by_its_own_name(tmp_path):
    touch(tmp_path, ".git/annex/objects/MD5E-s9--0f.nii.gz", "z/0001.nii.gz")
    (tmp_path / "sub-01_T2w.nii.gz").symlink_to(".git/annex/objects/MD5E-s9--0f.nii.gz")
    (tmp_path / "sub-02_T2w.nii.gz").symlink_to("z/0001.nii.gz")
    assert found(tmp_path) == ["sub-01_T2w.nii.gz", "sub-02_T2w.nii.gz"]


def test_names_that_are_not_utf8_are_refused(tmp_path, capsys):
    for name in (b"sc\xffan_T2.nii.gz", b"\xe9 \xc3\xa9/a_T2.nii"):
        touch(tmp_path, os.fsdecode(name))
    with pytest.raises(SystemExit) as left:
        main(["prepare", str(tmp_path), "-o", str(tmp_path / "out")])
    assert left.value.code == 3
    error = capsys.readouterr().err
    assert r"sc\xffan_T2.nii.gz: has a name that is not UTF-8. Rename it." in error
    assert r"\xe9 é/a_T2.nii: has a name that is not UTF-8. Rename it." in error
    assert not (tmp_path / "out").exists()


def test_names_of_scans_that_are_not_wanted_do_not_matter(tmp_path):
    touch(tmp_path, os.fsdecode(b"sc\xffan.nii.gz"), "sub-01_T2w.nii.gz")
    assert found(tmp_path, modality="T2") == ["sub-01_T2w.nii.gz"]


def test_what_is_left_out_may_have_any_name(tmp_path, capfd):
    touch(tmp_path / "scans", os.fsdecode(b"sc\xffan_mask.nii.gz"))
    save(tmp_path / "scans" / "a.nii.gz")
    arguments = ["prepare", str(tmp_path / "scans"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--patch-size", "16"])
    assert not left.value.code
    assert r"sc\xffan_mask.nii.gz: mask" in capfd.readouterr().err
    (mask,) = read_manifest(tmp_path / "out").left_out
    assert mask.file == r"sc\xffan_mask.nii.gz"


def test_ixi_by_site_and_modality(tmp_path):
    touch(
        tmp_path,
        "IXI012-HH-1211-T2.nii.gz",
        "IXI002-Guys-0828-T2.nii.gz",
        "IXI002-Guys-0828-T1.nii.gz",
        "IXI050-Guys-0711-T2.nii.gz",
    )
    assert found(tmp_path, modality="T2", site="Guys") == [
        "IXI002-Guys-0828-T2.nii.gz",
        "IXI050-Guys-0711-T2.nii.gz",
    ]
    assert found(tmp_path, modality="t2w", site="hh") == ["IXI012-HH-1211-T2.nii.gz"]
    with pytest.raises(ConfigError, match=r"several contrasts: T1, T2.*--modality"):
        found(tmp_path)
    with pytest.raises(BadInputError, match="no scan of modality PD: the 4 found are of T1, T2"):
        found(tmp_path, modality="PD")
    with pytest.raises(BadInputError, match="no scan of site IOP: the 3 found are of Guys, HH"):
        found(tmp_path, modality="T2", site="IOP")


def test_bids(tmp_path):
    touch(
        tmp_path,
        "dataset_description.json",
        "sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T2w.nii.gz",
        "sub-02/anat/sub-02_T2w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-02/func/sub-02_task-rest_bold.nii.gz",
        "derivatives/x/sub-02/anat/sub-02_T2w.nii.gz",
        "sourcedata/sub-03/anat/sub-03_T2w.nii.gz",
    )
    scans = find([tmp_path], modality="T2w").scans
    assert [(scan.subject, scan.session) for scan in scans] == [
        ("sub-01", "ses-1"),
        ("sub-01", "ses-2"),
        ("sub-02", ""),
    ]
    assert len(find([tmp_path], modality="T1").scans) == 1


def test_a_bids_folder_without_its_description_is_known_too(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz", "derivatives/mask.nii.gz")
    assert found(tmp_path) == ["sub-01_T2w.nii.gz"]


def test_several_fastmri_files_of_one_patient_are_sessions(tmp_path):
    for name in ("sub-01_run1.h5", "sub-01_run2.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["patient_id"] = "anna"
    scans = [(scan.subject, scan.session) for scan in find([tmp_path]).scans]
    assert scans == [("anna", "sub-01_run1"), ("anna", "sub-01_run2")]


def test_masks_are_not_among_the_scans_of_a_modality(tmp_path):
    touch(tmp_path, "sub-01_T2w_mask.nii.gz", "IXI012-HH-1211-T2_dseg.nii.gz")
    touch(tmp_path, "sub-01_T2w_brain.nii.gz", "IXI012-HH-1211-T2_brain.nii.gz")
    assert found(tmp_path, modality="T2") == [
        "IXI012-HH-1211-T2_brain.nii.gz",
        "sub-01_T2w_brain.nii.gz",
    ]
    assert found(tmp_path, site="HH") == ["IXI012-HH-1211-T2_brain.nii.gz"]
    left = find([tmp_path]).left_out
    assert [(path.name, reason) for path, reason in left] == [
        ("IXI012-HH-1211-T2_dseg.nii.gz", "segmentation"),
        ("sub-01_T2w_mask.nii.gz", "mask"),
    ]


def test_where_no_scan_is_left_it_is_said_why(tmp_path):
    touch(tmp_path, "sub-01_T2w_mask.nii.gz", "sub-01_T2w_lesion_seg.nii.gz")
    with pytest.raises(BadInputError, match=r"left out 2: 1 mask, 1 segmentation\n.*lesion_seg"):
        find([tmp_path], modality="T2")


def test_label_images_are_left_out_by_what_they_hold(tmp_path):
    save(tmp_path / "a.nii.gz")
    drawn = save(tmp_path / "b.nii.gz", (phantom() > 500).astype(np.uint8))
    left = find([tmp_path]).left_out
    assert left == ((drawn, "label image"),)


def test_scans_of_unknown_contrast_are_named_where_one_is_asked_for(tmp_path):
    touch(tmp_path, "a_T2.nii.gz", "b.nii.gz", "c_T1.nii.gz")
    assert [item.path.name for item in find([tmp_path], modality="T2").left_out] == ["b.nii.gz"]


def test_scans_of_unknown_contrast_beside_known_ones_are_warned_of(tmp_path):
    touch(tmp_path, "a_T2.nii.gz", "b.nii.gz")
    (warning,) = find([tmp_path]).warnings
    assert warning.startswith("the contrast of 1 of 2 scans is unknown; they are used with")
    assert "b.nii.gz" in warning
    assert find([tmp_path / "b.nii.gz"]).warnings == ()


def test_a_sidecar_that_contradicts_a_name_is_believed_and_said(tmp_path):
    touch(tmp_path, "sub-01_T2w.nii.gz")
    timing = '{"EchoTime": 0.003, "RepetitionTime": 2.3, "InversionTime": 0.9}'
    (tmp_path / "sub-01_T2w.json").write_text(timing)
    result = find([tmp_path])
    assert result.scans[0].modality == "T1"
    assert "says T2, but the timing in its sidecar is that of T1" in result.warnings[0]


def test_a_contradiction_is_said_of_a_scan_that_is_dropped_for_it(tmp_path):
    touch(tmp_path, "sub-01_T2w.nii.gz", "sub-02_T2w.nii.gz", "sub-03_PDw.nii.gz")
    timing = '{"EchoTime": 0.003, "RepetitionTime": 2.3, "InversionTime": 0.9}'
    for name in ("sub-01_T2w", "sub-03_PDw"):
        (tmp_path / f"{name}.json").write_text(timing)
    result = find([tmp_path], modality="T2")
    assert [scan.subject for scan in result.scans] == ["sub-02"]
    (warning,) = result.warnings
    assert "sub-01_T2w.nii.gz: its name says T2, but the timing" in warning


def test_scans_without_an_inversion_time_are_flair_by_their_names(tmp_path):
    touch(tmp_path, "sub-01_FLAIR.nii.gz")
    (tmp_path / "sub-01_FLAIR.json").write_text('{"EchoTime": 0.1, "RepetitionTime": 9}')
    assert found(tmp_path, modality="FLAIR") == ["sub-01_FLAIR.nii.gz"]


def test_sources_without_scans(tmp_path):
    with pytest.raises(BadInputError, match="does not exist"):
        find([tmp_path / "none"])
    with pytest.raises(BadInputError, match="matches no file"):
        find([tmp_path / "*.nii"])
    with pytest.raises(BadInputError, match="holds no scan"):
        find([tmp_path])
    touch(tmp_path, "dataset_description.json")
    with pytest.raises(BadInputError, match="holds no anatomical BIDS scan"):
        find([tmp_path])


def test_a_volume_carries_what_is_known(tmp_path):
    turned = np.diag([-1.0, -1.0, 3.0, 1.0])
    path = save(tmp_path / "sub-1_ses-2_T2w.nii.gz", matrix=turned)
    (scan,) = find([path]).scans
    assert (scan.modality, scan.subject, scan.session) == ("T2", "sub-1", "ses-2")
    volume = read(path, "axial", "kspace")
    np.testing.assert_array_equal(volume.images, phantom().transpose(2, 1, 0))
    assert volume.spacing == (1, 1, 3)
    assert volume.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert volume.kspace is None


def test_the_header_alone_tells_the_shape_of_the_slices(tmp_path):
    path = save(tmp_path / "a.nii.gz", matrix=affine((1, 1, 3)))
    assert slice_layout(path, "auto", "kspace") == ("axial", (12, 20, 24))
    assert slice_layout(path, "sagittal", "kspace") == ("sagittal", (24, 12, 20))
    turned = np.array([[0, 0, 3, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    other = save(tmp_path / "b.nii", matrix=turned)
    assert slice_layout(other, "auto", "kspace") == ("sagittal", (12, 20, 24))  # j is superior


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a_T2w.nii.gz")
    for source in (tmp_path, tmp_path / "a_T2w.nii.gz"):
        with pytest.raises(BadInputError, match=r"a_T2w\.nii\.gz: is a pipe"):
            find([source])


def test_folders_that_are_no_persons_are_refused(tmp_path):
    for person in ("p1", "p2"):
        for when in ("before", "visit1"):
            save(tmp_path / person / when / "T2.nii.gz")
    with pytest.raises(BadInputError, match=r"subject before are in several folders.*\n.*p1/bef"):
        find([tmp_path])
    for person in ("p1", "p2"):
        (tmp_path / person / "before").rename(tmp_path / person / "visit0")
    found = find([tmp_path]).scans
    assert [(scan.subject, scan.session) for scan in found] == [
        (person, when) for person in ("p1", "p2") for when in ("visit0", "visit1")
    ]


def test_files_that_are_no_persons_are_refused(tmp_path):
    for person in ("p1", "p2"):
        save(tmp_path / person / "visit1" / "t2_tse_tra.nii.gz")
    save(tmp_path / "p3" / "visit1" / "T2_anna.nii.gz")
    save(tmp_path / "p3" / "visit2" / "T2_anna.nii.gz")
    with pytest.raises(BadInputError, match=r"subject t2_tse_tra are in several folders.*\n.*p1"):
        find([tmp_path])
    subjects = {scan.subject for scan in find([tmp_path / "p1", tmp_path / "p3"]).scans}
    assert subjects == {"t2_tse_tra", "T2_anna"}
    pattern = r"(?P<subject>t2_tse_tra|T2_anna)"
    assert len(find([tmp_path], pattern=pattern).scans) == 4


def test_of_a_study_the_derivatives_are_left_out(tmp_path):
    for part, kind in (("rawdata", "raw"), ("derivatives/fmriprep", "derivative")):
        folder = tmp_path / "study" / part
        save(folder / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
        (folder / "dataset_description.json").write_text(f'{{"DatasetType": "{kind}"}}')
    found = find([tmp_path / "study"])
    assert [scan.path.parts[-4] for scan in found.scans] == ["rawdata"]
    ((path, reason),) = found.left_out
    assert (path.parts[-4], reason) == ("fmriprep", "file of a BIDS derivative")
    (asked_for,) = find([tmp_path / "study" / "derivatives" / "fmriprep"]).scans
    assert asked_for.subject == "sub-01"


def test_a_link_to_itself_is_a_link_to_nothing(tmp_path):
    save(tmp_path / "p1_T2.nii.gz")
    (tmp_path / "p2_T2.nii.gz").symlink_to("p2_T2.nii.gz")
    with pytest.raises(BadInputError, match=r"1 of 2 scans is not here.*\n.*p2_T2.*\n.*Mend the"):
        find([tmp_path])
    ((path, _),) = find([tmp_path], allow_missing=True).left_out
    assert path.name == "p2_T2.nii.gz"


def test_a_single_slice_is_not_cut_across(tmp_path):
    voxels = phantom((1, 20, 24))
    path = save(tmp_path / "one.nii.gz", voxels, matrix=affine((1, 1, 1)))
    assert slice_layout(path, "auto", "kspace") == ("sagittal", (1, 24, 20))
    with pytest.raises(BadInputError, match="has axial slices of 20 x 1 pixels, but a side needs"):
        slice_layout(path, "axial", "kspace")
