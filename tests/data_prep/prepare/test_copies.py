"""One scan under two names."""

import gzip
import os
import shutil

import pytest

from data_prep.errors import BadInputError
from data_prep.prepare.copies import same_content
from data_prep.prepare.pipeline import PrepareConfig, plan_for
from data_prep.shards.schema import Parameters, SplitRule
from tests.data_prep.phantoms import phantom, save

NO_SPLITS = SplitRule(val_fraction=0, test_fraction=0)


@pytest.fixture
def scans(tmp_path):
    """Four subjects; two of them are one scan."""
    for seed, name in enumerate("abc"):
        save(tmp_path / "scans" / f"{name}.nii", phantom(seed=seed))
    shutil.copy(tmp_path / "scans" / "a.nii", tmp_path / "scans" / "d.nii")
    return tmp_path / "scans"


def warnings(scans, **rule):
    """What planning to prepare a folder warns of."""
    config = PrepareConfig(parameters=Parameters(patch_size=10), split_rule=SplitRule(**rule))
    told = []
    plan_for([scans], config, told.append)
    return told


@pytest.mark.parametrize("rule", [{}, {"folds": 4}])
def test_copies_in_two_splits_are_refused(scans, rule):
    with pytest.raises(BadInputError, match=r"a\.nii: is the same scan as d\.nii \(d, .*but is a"):
        warnings(scans, **rule)


def test_copies_in_one_split_are_warned_of(scans):
    (warning,) = warnings(scans, val_fraction=0, test_fraction=0)
    assert warning == (f"{scans / 'a.nii'}: is the same scan as d.nii (d, train); each counts")


def test_slices_dealt_one_by_one_leak_anyway(scans):
    assert len(warnings(scans, by="slice")) == 1


def test_two_links_to_one_file_are_copies(scans, tmp_path):
    (tmp_path / "links").mkdir()
    for name in ("x", "y"):
        (tmp_path / "links" / f"{name}.nii").symlink_to(scans / "b.nii")
    with pytest.raises(BadInputError, match="is the same scan as y"):
        warnings(tmp_path / "links", val_fraction=0.5, test_fraction=0)


def test_files_that_differ_in_the_middle_are_not_the_same(tmp_path):
    content = bytearray(os.urandom(300_000))
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(content)
        content[150_000] ^= name == "a"
    assert list(same_content(sorted(tmp_path.iterdir()))) == [[tmp_path / "b", tmp_path / "c"]]


def test_pairs_are_the_same_only_if_both_of_their_files_are(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        (tmp_path / f"{name}.hdr").write_bytes(b"header")
        (tmp_path / f"{name}.img").write_bytes(b"same" if number else b"else")
    pairs = [tmp_path / f"{name}.hdr" for name in "abc"]
    assert list(same_content(pairs)) == [pairs[1:]]


def pack(path, name, level=6):
    """Compress a file with Python's own gzip."""
    packed = path.with_name(name)
    packed.write_bytes(gzip.compress(path.read_bytes(), level))
    return packed


def test_packed_or_not_a_scan_is_the_same(scans):
    packed = pack(scans / "a.nii", "a.nii.gz"), pack(scans / "a.nii", "e.nii.gz", level=1)
    assert packed[0].read_bytes() != packed[1].read_bytes()
    pack(scans / "b.nii", "x.nii.gz")
    groups = list(same_content(sorted(scans.iterdir())))
    names = sorted(tuple(path.name for path in group) for group in groups)
    assert names == [("a.nii", "a.nii.gz", "d.nii", "e.nii.gz"), ("b.nii", "x.nii.gz")]


def test_packed_copies_are_refused_across_splits_and_warned_of_within(tmp_path):
    pack(save(tmp_path / "a.nii"), "b.nii.gz")
    with pytest.raises(BadInputError, match=r"a\.nii: is the same scan as b\.nii\.gz \(b, "):
        warnings(tmp_path, val_fraction=0.5, test_fraction=0)
    (tmp_path / "b.nii.gz").rename(tmp_path / "a.nii.gz")
    (warning,) = warnings(tmp_path, val_fraction=0, test_fraction=0)
    assert warning == f"{tmp_path / 'a.nii'}: is the same scan as a.nii.gz (a, train); each counts"


def test_one_voxel_is_enough_to_differ(tmp_path):
    voxels = phantom()
    first = save(tmp_path / "a.nii.gz", voxels)
    voxels[-1, -1, -1] += 1
    second = save(tmp_path / "b.nii", voxels)
    assert list(same_content([first, second])) == []


def test_damaged_copies_are_left_to_whoever_reads_them(scans):
    packed = pack(scans / "a.nii", "a.nii.gz")
    for name in ("y.nii.gz", "z.nii.gz"):
        (scans / name).write_bytes(packed.read_bytes()[:300])
    (scans / "empty.nii.gz").write_bytes(b"\x1f\x8b")
    groups = list(same_content(sorted(scans.iterdir())))
    assert [scans / "y.nii.gz", scans / "z.nii.gz"] in groups


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadInputError, match="none: cannot be read: No such file"):
        list(same_content([tmp_path / "none", tmp_path / "other"]))
