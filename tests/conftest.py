"""What the tests of both packages share."""

import gc
import subprocess

import pytest

from srmri_tf.cli import main, process

process.configure()  # before any test imports TensorFlow: what is tested is what users run


@pytest.fixture
def make_disk(tmp_path):
    """Mounts a tmpfs of a size such as ``1m``, where the system lets us; gives its folder."""
    mounted = []

    def make(size):
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        try:
            failed = subprocess.run(command, capture_output=True, check=False).returncode
        except OSError:
            failed = True
        if failed:
            pytest.skip("a tmpfs cannot be mounted here")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def run(capsys):
    """Run a command; its exit code, stdout and stderr."""

    def call(*arguments):
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


LONGEST_FIRST = ("tests/srmri_tf/training/", "tests/srmri_tf/networks/", "tests/srmri_tf/")


def pytest_collection_modifyitems(items):
    """What takes longest comes first, so that several processes end at about the same time."""

    def place(item):
        parts = [part in item.path.as_posix() for part in LONGEST_FIRST]
        return parts.index(True) if any(parts) else len(parts)

    items.sort(key=place)


def pytest_collection_finish():
    """What lives as long as the tests is not looked through for garbage again and again."""
    gc.collect()
    gc.freeze()
