"""Folds in processes of their own: what they see, what is told, failures and Ctrl-C."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from data_prep.errors import BadInputError, SrmriError
from srmri_tf import parallel
from srmri_tf.parallel import run_side_by_side

SHOW = "import os, sys; print(*sys.argv[1:], os.environ.get('CUDA_VISIBLE_DEVICES'))"


def told():
    return Console(file=io.StringIO(), width=200)


def test_each_fold_sees_one_gpu_and_as_many_run_as_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "gpu_names", lambda: ["4", "7"])
    monkeypatch.setattr(parallel, "_CODE", SHOW + "; import time; time.sleep(0.5)")
    console = told()
    run_side_by_side(["x"], tmp_path, [0, 1, 2], 3, console)
    logs = [(tmp_path / f"fold-{k}" / "log.txt").read_text().rsplit(maxsplit=1) for k in range(3)]
    assert [arguments for arguments, _ in logs] == [f"x --fold {k}" for k in range(3)]
    gpus = [gpu for _, gpu in logs]
    assert sorted(gpus[:2]) == ["4", "7"]
    assert gpus[2] in gpus[:2]
    lines = console.file.getvalue().splitlines()
    assert lines[:2] == [f"fold {k} begins: {tmp_path}/fold-{k}/log.txt" for k in (0, 1)]
    assert "is done after 0.0 minutes" in lines[2]


def test_without_gpus_the_surroundings_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(parallel, "_CODE", SHOW)
    run_side_by_side(["x"], tmp_path, [5], 2, told())
    assert (tmp_path / "fold-5" / "log.txt").read_text() == "x --fold 5 -1\n"


def test_failed_folds_are_reported_with_their_own_words_after_the_others(tmp_path):
    (tmp_path / "fold-0").mkdir()
    (tmp_path / "fold-0" / "log.txt").write_text("srmri-tf: an earlier attempt's error\n")
    arguments = ["crossval", "cpce", str(tmp_path / "absent"), "-o", str(tmp_path)]
    with pytest.raises(BadInputError, match="2 of the folds failed") as failed:
        run_side_by_side(arguments, tmp_path, [0, 1], 2, told())
    message = str(failed.value)
    assert f"fold 0, exit code 3: {tmp_path}/absent" in message
    assert f"fold 1, exit code 3: {tmp_path}/absent" in message
    assert "earlier" not in message


def test_a_fold_that_was_killed_is_a_failure(tmp_path, monkeypatch):
    killed = "import os; print('epoch 3', flush=True); os.kill(os.getpid(), 9)"
    monkeypatch.setattr(parallel, "_CODE", killed)
    with pytest.raises(SrmriError, match="fold 3, exit code -9: epoch 3"):
        run_side_by_side(["x"], tmp_path, [3], 2, told())


FOLD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
print("up", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(float(sys.argv[1]))
    print("saved", flush=True)
    sys.exit(130)
"""
PARENT = """
import sys
from pathlib import Path
from srmri_tf import parallel
folder, parallel._CODE, saving = sys.argv[1:]
try:
    parallel.run_side_by_side([saving], Path(folder), [0, 1, 2], 2)
except KeyboardInterrupt:
    sys.exit(130)
"""


def interrupted(folder, saving, signals):
    """Send signals, a second apart, once two folds are up: exit code, and words of both folds."""
    command = [sys.executable, "-c", PARENT, str(folder), FOLD, str(saving)]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    logs = [folder / f"fold-{k}" / "log.txt" for k in (0, 1)]
    deadline = time.monotonic() + 60
    while not all(log.exists() and "up" in log.read_text() for log in logs):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for number in signals:
        os.kill(parent.pid, number)
        time.sleep(1)
    return parent.wait(timeout=30), [log.read_text().split() for log in logs]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_folds_save_and_begins_no_other(tmp_path, number):
    code, logs = interrupted(tmp_path, 0.5, [number])
    assert (code, logs) == (130, [["up", "saved"]] * 2)
    assert not (tmp_path / "fold-2").exists()


def test_a_second_ctrl_c_waits_for_nobody(tmp_path):
    code, logs = interrupted(tmp_path, 50, [signal.SIGINT, signal.SIGINT])
    assert (code, logs) == (130, [["up"]] * 2)
