"""A disk that fills up: a small tmpfs, where the system lets us mount one."""

import subprocess

import pytest

from data_prep import files
from data_prep.errors import EnvironmentFault
from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.shards.files import verify
from data_prep.shards.schema import Parameters, SplitRule
from tests.data_prep.phantoms import phantom, save

CONFIG = PrepareConfig(
    parameters=Parameters(patch_size=16), split_rule=SplitRule(val_fraction=0, test_fraction=0)
)


@pytest.fixture
def disk(make_disk):
    """A file system of 1 MB; a shard of the scans below needs 0.4 MB."""
    return make_disk("1m")


def scans(folder, count):
    return [save(folder / f"s{n}.nii.gz", phantom((64, 64, 24), n)) for n in range(count)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_error_and_a_rerun_succeeds(disk, tmp_path, workers):
    sources = scans(tmp_path / "scans", 4)
    prepare(sources[:1], disk / "old", CONFIG)
    with pytest.raises(EnvironmentFault, match=r"cannot be written: the disk is full") as caught:
        prepare(sources, disk / "new", CONFIG, workers=workers)
    assert caught.value.exit_code == 5
    assert not list(disk.rglob(".srmri-tf-tmp-*"))
    assert not (disk / "new" / "manifest.json").exists()
    verify(disk / "old")
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    prepare(sources, disk / "new", CONFIG, workers=workers)
    prepare(sources, tmp_path / "fresh", CONFIG)
    assert verify(disk / "new") == verify(tmp_path / "fresh")


def test_a_full_disk_keeps_the_old_file(disk):
    files.write_text(disk / "a.txt", "old")
    with pytest.raises(EnvironmentFault, match="the disk is full"):
        files.write_text(disk / "a.txt", "x" * (2 << 20))
    assert (disk / "a.txt").read_text() == "old"
    assert [path.name for path in disk.iterdir()] == ["a.txt"]
