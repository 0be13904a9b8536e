"""What the tests of both packages share."""

import subprocess

import pytest

from srmri_tf.cli import process

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
