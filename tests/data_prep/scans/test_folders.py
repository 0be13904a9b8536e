"""Folders: links, loops, .bidsignore, and files that were never fetched."""

import os
from pathlib import Path

import pytest

from data_prep.errors import BadInputError
from data_prep.scans import choosing
from data_prep.scans.folders import TO_NOTHING, dataset_of, is_ignored, not_fetched, walk
from data_prep.scans.sources import find
from tests.data_prep.phantoms import save
from tests.data_prep.scans.test_sources import found, touch

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 9\n"


def names(folder):
    return [path.relative_to(folder).as_posix() for path in walk(folder)]


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path):
    touch(tmp_path, "store/s1/a.nii", "set/b.nii", ".git/c.nii", "set/.d.nii")
    (tmp_path / "set" / "s1").symlink_to("../store/s1")
    (tmp_path / "set" / "again").symlink_to("../set")
    (tmp_path / "store" / "s1" / "up").symlink_to(tmp_path / "set")
    assert names(tmp_path / "set") == ["b.nii", "s1/a.nii"]
    assert names(tmp_path) == ["set/b.nii", "store/s1/a.nii"]
    assert found(tmp_path / "set") == ["a.nii", "b.nii"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "secret").mkdir(mode=0)
    with pytest.raises(BadInputError, match=r"secret: cannot be searched: Permission denied"):
        names(tmp_path)


def test_a_bids_data_set_with_linked_subjects(tmp_path):
    touch(tmp_path, "store/sub-01/anat/sub-01_T2w.nii.gz", "bids/dataset_description.json")
    (tmp_path / "bids" / "sub-01").symlink_to("../store/sub-01")
    assert found(tmp_path / "bids") == ["sub-01_T2w.nii.gz"]


def test_a_subject_s_folder_is_part_of_its_data_set(tmp_path, monkeypatch):
    touch(tmp_path, "dataset_description.json", "sub-2/func/sub-2_task-rest_bold.nii.gz")
    touch(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz", "sub-2/anat/sub-2_T2w.nii.gz", "other/x.nii")
    for inside in ("sub-2", "sub-2/anat"):
        assert dataset_of(tmp_path / inside) == tmp_path
        assert found(tmp_path / inside) == ["sub-2_T2w.nii.gz"]
    monkeypatch.chdir(tmp_path / "sub-2")
    assert found(Path()) == ["sub-2_T2w.nii.gz"]
    assert found(Path("../sub-1")) == ["sub-1_T2w.nii.gz"]
    monkeypatch.chdir(tmp_path / "sub-2" / "anat")
    assert found(Path("..")) == ["sub-2_T2w.nii.gz"]
    assert found(Path("../../sub-1/anat")) == ["sub-1_T2w.nii.gz"]
    assert dataset_of(tmp_path / "other") is None


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("", ["sub-1/anat/a.nii", "sub-1/anat/b.nii", "sub-2/anat/a.nii"]),
        ("# a comment\n\nsub-2/", ["sub-1/anat/a.nii", "sub-1/anat/b.nii"]),
        ("sub-2", ["sub-1/anat/a.nii", "sub-1/anat/b.nii"]),
        ("b.nii\n/a.nii", ["sub-1/anat/a.nii", "sub-2/anat/a.nii"]),
        ("**/a.*", ["sub-1/anat/b.nii"]),
        ("sub-?/anat/[!b].nii", ["sub-1/anat/b.nii"]),
        ("sub-[]2]/*", ["sub-1/anat/a.nii", "sub-1/anat/b.nii"]),
        ("sub-[!]*", ["sub-1/anat/a.nii", "sub-1/anat/b.nii", "sub-2/anat/a.nii"]),
        ("*\n!sub-1/**", ["sub-1/anat/a.nii", "sub-1/anat/b.nii"]),
        ("sub-1/*.nii", ["sub-1/anat/a.nii", "sub-1/anat/b.nii", "sub-2/anat/a.nii"]),
    ],
)
def test_bidsignore(tmp_path, rules, kept):
    (tmp_path / ".bidsignore").write_text(rules)
    paths = [tmp_path / p for p in ("sub-1/anat/a.nii", "sub-1/anat/b.nii", "sub-2/anat/a.nii")]
    assert [p.relative_to(tmp_path).as_posix() for p in paths if not is_ignored(p)] == kept


def test_a_line_of_bidsignore_that_is_no_pattern_is_named(tmp_path):
    touch(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz")
    (tmp_path / ".bidsignore").write_text("# comment\nsub-[02-00]*\n")
    with pytest.raises(BadInputError) as caught:
        find([tmp_path])
    fault = "line 2 is no pattern of gitignore: 'sub-[02-00]*' (bad character range 2-0"
    assert str(caught.value).startswith(f"{tmp_path / '.bidsignore'}: {fault}")


def test_what_bidsignore_names_is_left_out_and_said(tmp_path):
    touch(tmp_path, "dataset_description.json")
    touch(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz", "sub-2/anat/sub-2_T2w.nii.gz")
    (tmp_path / ".bidsignore").write_text("sub-2/\n")
    listing = find([tmp_path])
    assert [scan.path.name for scan in listing.scans] == ["sub-1_T2w.nii.gz"]
    said = choosing.counted(listing.left_out)
    assert said.startswith("left out 1: 1 file that .bidsignore names\n")
    assert "sub-2/anat/sub-2_T2w.nii.gz: file that .bidsignore names" in said
    (tmp_path / ".bidsignore").write_text("sub-*/\n")
    with pytest.raises(BadInputError, match=r"left out 1: 1 file that \.bidsignore names"):
        find([tmp_path / "sub-1"])


@pytest.mark.parametrize("kind", ["annex link", "annex text", "lfs", "link", "loop", "here"])
def test_what_was_not_fetched_is_told(tmp_path, kind):
    path, remedy = tmp_path / "a_T2.nii.gz", "datalad get"
    if kind == "annex link":
        path.symlink_to("../.git/annex/objects/x/MD5E-s9--0f.nii.gz")
    elif kind == "annex text":
        path.write_text("/annex/objects/MD5E-s9--0f.nii.gz\n")
    elif kind == "lfs":
        path.write_text(LFS)
        remedy = "git lfs pull"
    elif kind in ("link", "loop"):
        path.symlink_to(path.name if kind == "loop" else "nowhere")
        remedy = TO_NOTHING
    else:
        save(path)
        remedy = ""
    assert not_fetched(path) == remedy


def test_missing_scans_are_named_with_the_remedy_unless_they_may_be_missing(tmp_path):
    touch(tmp_path, "a_T2.nii.gz", "f_T1.nii.gz")
    (tmp_path / "b_T2.nii.gz").symlink_to(".git/annex/objects/MD5E-s9--0f.nii.gz")
    (tmp_path / "c_T2.nii.gz").write_text(LFS)
    (tmp_path / "d_T2.nii.gz").symlink_to("nowhere.nii.gz")
    (tmp_path / "e_T1.nii.gz").symlink_to("nowhere.nii.gz")
    with pytest.raises(BadInputError) as caught:
        find([tmp_path], modality="T2")
    message = str(caught.value)
    assert message.startswith("the content of 3 of 4 scans is not here:\n")
    assert "e_T1" not in message
    assert message.endswith(
        "Fetch them with `datalad get` and `git lfs pull`, mend the links to nothing, or go on "
        "without them with --allow-missing."
    )
    result = find([tmp_path], modality="T2", allow_missing=True)
    assert [scan.path.name for scan in result.scans] == ["a_T2.nii.gz"]
    assert [path.name for path, _ in result.left_out] == [f"{n}_T2.nii.gz" for n in "bcd"]


@pytest.mark.parametrize("name", ["a.nii.gz", "a.h5"])
def test_a_missing_file_that_was_named_itself(tmp_path, name):
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(BadInputError, match="Mend the links to nothing"):
        find([tmp_path / name])
    with pytest.raises(BadInputError, match="no scan is left"):
        find([tmp_path / name], allow_missing=True)
