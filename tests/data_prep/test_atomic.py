"""Files and folders are whole or absent, whatever happens while they are written."""

import errno
import os
import subprocess
import sys

import pytest

from data_prep import atomic
from data_prep.errors import BadInputError, ConfigError, EnvironmentFault


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole(tmp_path):
    with atomic.atomic_file(tmp_path / "deep" / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert names(tmp_path / "deep") == ["a.txt"]
    assert (tmp_path / "deep" / "a.txt").read_text() == "whole"
    assert (tmp_path / "deep" / "a.txt").stat().st_mode & 0o600 == 0o600


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")

    def fail():
        with atomic.atomic_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


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
    with pytest.raises(EnvironmentFault, match=words) as caught, atomic.atomic_file(path):
        raise OSError(number, os.strerror(number))
    assert caught.value.path == path
    assert names(tmp_path) == []


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path):
    path = tmp_path / "out"
    for text in ("first", "second"):
        with atomic.atomic_folder(path) as folder:
            (folder / text).write_text(text)
    assert names(path) == ["second"]

    def fail():
        with atomic.atomic_folder(path) as folder:
            (folder / "third").write_text("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(path) == ["second"]
    assert names(tmp_path) == ["out"]


def test_a_second_process_is_refused_and_a_kill_frees_the_folder(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from data_prep.atomic import lock\n"
        f"with lock(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BadInputError, match="in use"), atomic.lock(tmp_path):
        pass
    process.kill()
    process.wait()
    with atomic.lock(tmp_path):
        pass


def test_whoever_holds_a_folder_clears_what_kills_left(tmp_path):
    (tmp_path / ".tmp-abc-checkpoint.npz").write_text("half")
    (tmp_path / ".tmp-model-xyz").mkdir()
    (tmp_path / ".tmp-model-xyz" / "saved_model.pb").write_text("half")
    (tmp_path / "checkpoint.npz").write_text("whole")
    with atomic.lock(tmp_path):
        assert names(tmp_path) == [".lock", "checkpoint.npz"]


def test_only_empty_and_own_folders_are_written_into(tmp_path):
    atomic.refuse_foreign(tmp_path / "absent", "ours", "mark")
    atomic.refuse_foreign(tmp_path, "ours", "mark")
    (tmp_path / ".lock").write_text("")
    atomic.refuse_foreign(tmp_path, "ours", "mark")
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="not ours"):
        atomic.refuse_foreign(tmp_path, "ours", "mark")
    with pytest.raises(ConfigError, match="is a file"):
        atomic.refuse_foreign(tmp_path / "thesis.tex", "ours", "mark")
    (tmp_path / "mark").write_text("")
    atomic.refuse_foreign(tmp_path, "ours", "mark")
