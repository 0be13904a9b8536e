"""The same bytes under two names."""

import os
import shutil

import pytest

from data_prep.errors import BadInputError
from data_prep.prepare.copies import same_bytes
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
    with pytest.raises(BadInputError, match=r"a\.nii: is the same file as d\.nii \(d, .*but is a"):
        warnings(scans, **rule)


def test_copies_in_one_split_are_warned_of(scans):
    (warning,) = warnings(scans, val_fraction=0, test_fraction=0)
    assert warning == (f"{scans / 'a.nii'}: is the same file as d.nii (d, train); each counts")


def test_slices_dealt_one_by_one_leak_anyway(scans):
    assert len(warnings(scans, by="slice")) == 1


def test_two_links_to_one_file_are_copies(scans, tmp_path):
    (tmp_path / "links").mkdir()
    for name in ("x", "y"):
        (tmp_path / "links" / f"{name}.nii").symlink_to(scans / "b.nii")
    with pytest.raises(BadInputError, match="is the same file as y"):
        warnings(tmp_path / "links", val_fraction=0.5, test_fraction=0)


def test_files_that_differ_in_the_middle_are_not_the_same(tmp_path):
    content = bytearray(os.urandom(300_000))
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(content)
        content[150_000] ^= name == "a"
    assert list(same_bytes(sorted(tmp_path.iterdir()))) == [[tmp_path / "b", tmp_path / "c"]]


def test_pairs_are_the_same_only_if_both_of_their_files_are(tmp_path):
    for number, name in enumerate(("a", "b", "c")):
        (tmp_path / f"{name}.hdr").write_bytes(b"header")
        (tmp_path / f"{name}.img").write_bytes(b"same" if number else b"else")
    pairs = [tmp_path / f"{name}.hdr" for name in "abc"]
    assert list(same_bytes(pairs)) == [pairs[1:]]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadInputError, match="none: cannot be read: No such file"):
        list(same_bytes([tmp_path / "none", tmp_path / "other"]))
