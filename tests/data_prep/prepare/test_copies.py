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


def plan(scans, **rule):
    config = PrepareConfig(parameters=Parameters(patch_size=10), split_rule=SplitRule(**rule))
    return plan_for([scans], config)


@pytest.mark.parametrize("rule", [{}, {"folds": 4}])
def test_copies_in_two_splits_are_refused(scans, rule):
    with pytest.raises(BadInputError, match=r"a\.nii: is the same file as d\.nii \(d, .*but is a"):
        plan(scans, **rule)


def test_copies_in_one_split_are_warned_of(scans):
    (warning,) = plan(scans, val_fraction=0, test_fraction=0).warnings
    assert warning == (f"{scans / 'a.nii'}: is the same file as d.nii (d, train); each counts")


def test_slices_dealt_one_by_one_leak_anyway(scans):
    assert len(plan(scans, by="slice").warnings) == 1


def test_two_links_to_one_file_are_copies(scans, tmp_path):
    (tmp_path / "links").mkdir()
    for name in ("x", "y"):
        (tmp_path / "links" / f"{name}.nii").symlink_to(scans / "b.nii")
    with pytest.raises(BadInputError, match="is the same file as y"):
        plan(tmp_path / "links", val_fraction=0.5, test_fraction=0)


def test_files_that_differ_in_the_middle_are_not_the_same(tmp_path):
    content = bytearray(os.urandom(300_000))
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(content)
        content[150_000] ^= name == "a"
    assert list(same_bytes(sorted(tmp_path.iterdir()))) == [[tmp_path / "b", tmp_path / "c"]]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadInputError, match="none: cannot be read: No such file"):
        list(same_bytes([tmp_path / "none", tmp_path / "other"]))
