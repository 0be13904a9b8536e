"""Commands where memory, threads, disks and other projects' settings are not as they should be."""

import errno
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import EnvironmentFault
from srmri_tf.cli import process
from srmri_tf.cli.surroundings import fault_of
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.files import enhance
from srmri_tf.enhance.worklist import make_worklist
from tests.data_prep.phantoms import phantom, save

ROOT = str(Path(__file__).parents[3])
MODULE = [sys.executable, "-m", "srmri_tf"]


def call(*arguments, limit=None, folder=None, stdout=subprocess.PIPE, **environment):
    """Run the command in a process of its own; `limit` is of its address space, in MB."""

    def restrict():
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit << 20, limit << 20))

    return subprocess.run(
        [*MODULE, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ROOT, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restrict,
        check=False,
        timeout=120,
    )


@pytest.fixture
def scans(tmp_path):
    for number in range(3):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom((24, 20, 6), number))
    return tmp_path / "scans"


def named(name: str, text: str) -> Exception:
    """An error as TensorFlow has it, which need not be imported."""
    return type(name, (Exception,), {})(text)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (MemoryError(), "there is not enough memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is not enough memory"),
        (ImportError("libx.so: failed to map segment from shared object"), "not enough memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "no more threads"),
        (OSError(errno.ENOSPC, "No space left on device"), "output cannot be written: No space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError("odd"), "the system refuses: odd"),
        (ModuleNotFoundError("No module named 'numpy.x'"), "a library cannot be imported"),
        (named("ResourceExhaustedError", "x; No space left on device"), "the disk is full"),
        (named("ResourceExhaustedError", "OOM when allocating"), "there is not enough memory"),
        (named("UnavailableError", "Collective ops is aborted"), "another machine of this"),
        (named("AbortedError", "Collective ops is aborted"), "another machine of this"),
        (named("UnknownError", "Could not start gRPC server"), "port in TF_CONFIG"),
    ],
)
def test_what_the_surroundings_cause_is_named(error, fault):
    found = fault_of(error)
    assert isinstance(found, EnvironmentFault)
    assert fault in str(found)
    outer = ValueError("outer")
    outer.__cause__ = error
    assert str(fault_of(outer)) == str(found)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("graph")])
def test_faults_of_the_program_are_not_laid_on_the_surroundings(error):
    assert fault_of(error) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", [["models"], ["--help"], ["prepare", "SCANS", "-o", "OUT"]])
def test_a_full_standard_output_is_code_5(scans, tmp_path, command):
    names = {"SCANS": scans, "OUT": tmp_path / "out"}
    command = [names.get(word, word) for word in command]
    command += ["--patch-size", "10"] if "prepare" in command else []
    with Path("/dev/full").open("w") as full:
        done = call(*command, stdout=full)
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert "output cannot be written: No space left on device" in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_files_that_the_parent_has_closed_do_no_harm(scans, tmp_path, closed):
    command = [sys.executable, "-m", "srmri_tf", "prepare", scans, "-o", tmp_path / "out"]
    line = shlex.join(map(str, [*command, "--patch-size", "10"]))
    done = subprocess.run(
        ["sh", "-c", f"{line} {closed}"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_a_folder_that_is_gone_is_named(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "the current folder does not exist" in str(fault_of(FileNotFoundError(2, "No such")))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_modules_in_the_working_folder_are_not_imported(scans, tmp_path, workers):
    for name in ("numpy", "scipy", "nibabel", "click", "data_prep"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine')")
    options = ["--patch-size", "10", "--quiet", "--workers", workers]
    done = call("prepare", scans, "-o", "out", *options, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_semaphores_one_process_does_the_work(scans, tmp_path):
    program = (
        "import _multiprocessing, sys\n"
        "def refuse(*_): raise PermissionError(13, 'Permission denied')\n"
        "_multiprocessing.SemLock = type('SemLock', (), {'__new__': refuse, 'SEM_VALUE_MAX': 9})\n"
        "from srmri_tf.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    command = ["prepare", scans, "-o", tmp_path / "out", "--patch-size", "10", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "processes cannot share semaphores" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux's limits")
def test_a_limit_that_is_too_low_is_refused_before_libraries_crash(scans, tmp_path):
    done = call("prepare", scans, "-o", tmp_path / "out", limit=200)
    assert done.returncode == 5
    assert "address space is limited to 200 MB, but any command needs 300 MB" in done.stderr
    done = call("prepare", scans, "-o", tmp_path / "out", "--workers", "2", limit=400)
    assert done.returncode == 5
    assert "limited to 400 MB, but a worker process needs 500 MB" in done.stderr
    assert not (tmp_path / "out").exists()
    done = call("enhance", scans / "s0.nii.gz", limit=1000)
    assert done.returncode == 5
    assert "address space is limited to 1000 MB, but TensorFlow needs" in done.stderr


def test_few_threads_are_found_out_before_tensorflow_aborts(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    process.need_threads(3)
    monkeypatch.setattr("threading.Thread.start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        process.need_threads(1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_numpy_starts_no_threads():
    program = (
        "import re; from srmri_tf.cli import process; process.isolate(); import numpy\n"
        "print(re.search(r'Threads:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    clean = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"


@pytest.mark.slow
def test_kerass_settings_of_other_projects_do_not_count(tmp_path):
    scan = save(tmp_path / "a_T2w.nii.gz", phantom((24, 24, 4)))
    settings = {"floatx": "bfloat16", "image_data_format": "channels_first", "backend": "torch"}
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(settings))
    other = {"KERAS_HOME": str(tmp_path / "keras"), "KERAS_BACKEND": "torch"}
    other |= {"HOME": str(tmp_path / "home"), "KERAS_MAX_EPOCHS": "x"}
    done = call("enhance", scan, "-o", tmp_path / "other.nii", **other)
    assert done.returncode == 0, done.stderr
    (clean,) = enhance(make_worklist([scan], tmp_path / "clean.nii"), EnhanceConfig())
    found, expected = (
        nib.load(image).get_fdata() for image in (tmp_path / "other.nii", clean.target.image)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())  # bfloat16: 4e-3
    assert not (tmp_path / "home" / ".keras").exists()


def test_where_keras_lives_is_known_again_after_its_import(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "/mine")
    with process.without_keras_settings():
        assert os.environ["KERAS_HOME"] != "/mine"
    assert os.environ["KERAS_HOME"] == "/mine"
