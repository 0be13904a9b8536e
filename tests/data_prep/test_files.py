"""Files and folders are whole or absent, whatever happens while they are written."""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import files
from data_prep.errors import BadInputError, ConfigError, EnvironmentFault
from tests.data_prep.phantoms import OF_A_DEAD_PROCESS


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def flock(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with pytest.raises(EnvironmentFault, match="No locks available"), files.lock(tmp_path):
        pass


def test_a_file_appears_whole(tmp_path):
    with files.atomic_file(tmp_path / "deep" / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert names(tmp_path / "deep") == ["a.txt"]
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"
    assert (tmp_path / "deep" / "a.txt").stat().st_mode & 0o600 == 0o600


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail():
        with files.atomic_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_is_no_place_for_a_file(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        files.write_text(tmp_path, "text")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_disk_errors_are_one_kind(tmp_path, number, words):
    path = tmp_path / "a.txt"
    with pytest.raises(EnvironmentFault, match=words) as caught, files.atomic_file(path):
        raise OSError(number, os.strerror(number))
    assert caught.value.path == path
    assert names(tmp_path) == []


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path):
    path = tmp_path / "out"
    for text in ("first", "second"):
        with files.atomic_folder(path) as folder:
            (folder / text).write_text(text)
    assert names(path) == ["second"]

    def fail():
        with files.atomic_folder(path) as folder:
            (folder / "third").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(path) == ["second"]
    assert names(tmp_path) == ["out"]


def test_a_second_process_is_refused_and_a_kill_frees_the_folder(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from data_prep.files import lock\n"
        f"with lock(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BadInputError, match="in use"), files.lock(tmp_path):
        pass
    process.kill()
    process.wait()
    with files.lock(tmp_path):
        pass


def test_whoever_holds_a_folder_clears_what_kills_left(tmp_path):
    (tmp_path / f"{OF_A_DEAD_PROCESS}abc-checkpoint.npz").write_text("half")
    (tmp_path / f"{OF_A_DEAD_PROCESS}model-xyz").mkdir()
    (tmp_path / f"{OF_A_DEAD_PROCESS}model-xyz" / "saved_model.pb").write_text("half")
    (tmp_path / "checkpoint.npz").write_text("whole")
    with files.lock(tmp_path):
        assert names(tmp_path) == [files.LOCK, "checkpoint.npz"]


@pytest.mark.parametrize("writer", ["another-host-1", f"{socket.gethostname()[:48]}-4194305"])
def test_what_others_and_older_versions_left_is_cleared_after_a_day(tmp_path, writer):
    for name, hours in (("old", 25), ("new", 23)):
        path = tmp_path / f".srmri-tf-tmp-{writer}-{name}"
        path.write_text("half")
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    files.clear(tmp_path)
    assert names(tmp_path) == [f".srmri-tf-tmp-{writer}-new"]


LONG_NAME = "node" * 15
ELSEWHERE = {
    "a host whose name begins alike": ("socket.gethostname", lambda: f"{LONG_NAME}-2"),
    "another process namespace": ("Path.readlink", lambda path: Path("pid:[1]")),
    "a host of the same name": ("Path.read_bytes", lambda path: b"another start"),
}


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_what_is_written_elsewhere_stays(tmp_path, monkeypatch, elsewhere):
    monkeypatch.setattr(files.socket, "gethostname", lambda: f"{LONG_NAME}-1")
    with monkeypatch.context() as patch:
        place, other = ELSEWHERE[elsewhere]
        patch.setattr(f"data_prep.files.{place}", other)
        there = files.own_prefix(".srmri-tf-tmp-").replace(f"-{os.getpid()}-", "-4194305-")
    here = files.own_prefix(".srmri-tf-tmp-").replace(f"-{os.getpid()}-", "-4194305-")
    for prefix in (here, there):
        (tmp_path / f"{prefix}abc").write_text("half")
    files.clear(tmp_path)
    assert names(tmp_path) == [f"{there}abc"]


def test_what_killed_processes_left_is_found_by_any_prefix(tmp_path):
    mine = files.own_prefix("work-")
    dead = mine.replace(f"-{os.getpid()}-", "-4194305-")
    for name in (f"{mine}a", f"{dead}b", "work-of-others", "else"):
        (tmp_path / name).mkdir()
    assert files.abandoned(tmp_path, "work-") == [tmp_path / f"{dead}b"]
    assert files.abandoned(tmp_path / "none", "work-") == []


def test_what_living_processes_write_and_what_others_left_stays(tmp_path):
    (tmp_path / ".tmp-mine").mkdir()
    with (
        files.atomic_file(tmp_path / "a.txt") as file,
        files.atomic_folder(tmp_path / "model") as folder,
    ):
        file.write_text("half")
        (folder / "weights").write_text("half")
        with files.lock(tmp_path):
            assert file.read_text() == "half"
            assert (folder / "weights").read_text() == "half"
    assert names(tmp_path) == [files.LOCK, ".tmp-mine", "a.txt", "model"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.mkdir()
    (path / "old").write_text("")
    rename = Path.rename

    def fail(self, target):
        if self.name.startswith(".srmri-tf-tmp-"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(EnvironmentFault), files.atomic_folder(path) as folder:
        (folder / "new").write_text("")
    assert (names(tmp_path), names(path)) == (["out"], ["old"])


def test_a_folder_is_replaced_only_if_nothing_else_is_lost(tmp_path, monkeypatch):
    holds = {"metrics.json", "runs"}

    def check(path):
        files.refuse_to_replace(path, "an evaluation", holds)

    out = tmp_path / "out"
    check(out)
    out.mkdir()
    (out / "metrics.json").write_text("")
    (out / files.LOCK).write_text("")
    check(out)
    (out / ".git").mkdir()
    with pytest.raises(ConfigError, match=r"not of an evaluation, such as \.git"):
        check(out)
    with pytest.raises(ConfigError, match="is a file"):
        check(out / "metrics.json")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for here in (Path(), tmp_path / "empty", Path("/")):
        with pytest.raises(ConfigError, match="cannot be replaced as a whole"):
            check(here)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(EnvironmentFault, match="permission denied"):
        check(out.parent / "new" / "deep")


def test_only_empty_and_own_folders_are_written_into(tmp_path):
    files.refuse_foreign(tmp_path / "absent", "ours", "mark")
    files.refuse_foreign(tmp_path, "ours", "mark")
    (tmp_path / files.LOCK).write_text("")
    files.refuse_foreign(tmp_path, "ours", "mark")
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="not ours"):
        files.refuse_foreign(tmp_path, "ours", "mark")
    with pytest.raises(ConfigError, match="is a file"):
        files.refuse_foreign(tmp_path / "thesis.tex", "ours", "mark")
    (tmp_path / "mark").write_text("")
    files.refuse_foreign(tmp_path, "ours", "mark")


def left_by_a_kill(path):
    """What a process leaves that is killed between the two renames of a folder's replacement."""
    aside = path.with_name(OF_A_DEAD_PROCESS.replace("tmp", "old") + "abc")
    aside.mkdir()
    path.rename(aside / path.name)
    half = path.with_name(f"{OF_A_DEAD_PROCESS}xyz")
    half.mkdir()
    (half / "new").write_text("half")


def test_a_folder_that_was_moved_aside_by_a_killed_process_comes_back(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("whole")
    left_by_a_kill(path)
    assert not path.exists()
    with pytest.raises(RuntimeError), files.atomic_folder(path):
        raise RuntimeError
    assert names(tmp_path) == ["model"]
    assert names(path) == ["old"]


def test_what_a_killed_write_left_goes_with_the_next_one(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    left_by_a_kill(path)
    (tmp_path / f"{OF_A_DEAD_PROCESS}123-.txt").write_text("half")
    with files.atomic_folder(path) as folder:
        (folder / "new").write_text("whole")
    files.write_text(tmp_path / "a.txt", "whole")
    assert names(tmp_path) == ["a.txt", "model"]
    assert names(path) == ["new"]


def test_a_folder_that_was_moved_aside_waits_for_its_own_name(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "old").write_text("whole")
    left_by_a_kill(path)
    files.write_text(tmp_path / "a.txt", "whole")
    assert [child.name for child in tmp_path.glob("*/model")] == ["model"]
    files.recover(path)
    assert names(tmp_path) == ["a.txt", "model"]
    assert names(path) == ["old"]


def test_a_folder_that_a_living_process_moved_aside_is_left_to_it(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.mkdir()
    found = []

    def look(self, target, rename=Path.rename):
        rename(self, target)
        if self == path:  # is aside now, and the new one has not come yet
            files.recover(path)
            found.append(path.exists())

    monkeypatch.setattr(Path, "rename", look)
    with files.atomic_folder(path) as folder:
        (folder / "new").write_text("whole")
    assert found == [False]
    assert names(tmp_path) == ["model"]
    assert names(path) == ["new"]


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False) | st.lists(st.text())))
def test_a_sealed_document_is_as_it_was_and_every_change_shows(document):
    document.pop("sha256", None)
    sealed = json.loads(json.dumps(files.sealed(document)))
    assert files.is_as_sealed(sealed)
    assert files.is_as_sealed(document)
    assert not files.is_as_sealed({**sealed, "more": 1})
    for key in document:
        assert not files.is_as_sealed({**sealed, key: "other"})


def test_names_as_long_as_the_file_system_allows(tmp_path, monkeypatch):
    monkeypatch.setattr(files.socket, "gethostname", lambda: "h" * 253)
    longest = files.longest_name(tmp_path / "not" / "there")
    file, folder = tmp_path / ("a" * (longest - 7) + ".nii.gz"), tmp_path / ("b" * longest)
    for _ in range(2):
        files.write_text(file, "text")
        with files.atomic_folder(folder) as temporary:
            (temporary / "x").touch()
    assert names(tmp_path) == [file.name, folder.name]
    with files.atomic_file(file) as temporary:
        assert temporary.name.endswith(".nii.gz")
    with pytest.raises(EnvironmentFault, match="its name is too long"):
        files.write_text(tmp_path / ("a" * (longest + 1)), "text")


def test_a_lock_is_one_for_the_whole_group(tmp_path):
    before = os.umask(0o002)
    try:
        with files.lock(tmp_path):
            assert (tmp_path / files.LOCK).stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(before)
