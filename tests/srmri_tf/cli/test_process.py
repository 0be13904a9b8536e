import os
import platform
import subprocess
import sys

import pytest

from srmri_tf.cli import process

# Takes and returns twenty arrays of 32 MiB; prints whether it was set, and the page faults.
FAULTS = """
import resource
from srmri_tf.cli import process
found = process.keep_memory() if {kept} else False
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(b"x") * (32 << 20)
print(found, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

glibc = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="glibc's allocator only"
)


def faults(kept: bool, **environment: str) -> tuple[str, int]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "LD_PRELOAD"))}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(kept=kept)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found, count = done.stdout.split()
    return found, int(count)


@glibc
def test_freed_memory_is_taken_again_without_page_faults():
    _, returned = faults(kept=False)
    found, kept = faults(kept=True)
    assert found == "True"
    assert kept < returned / 4


@glibc
@pytest.mark.parametrize(
    "environment",
    [
        {"MALLOC_ARENA_MAX": "2"},
        {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"},
        {"LD_PRELOAD": "libm.so.6"},
    ],
)
def test_a_users_own_allocator_settings_are_respected(environment):
    found, _ = faults(kept=True, **environment)
    assert found == "False"


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_are_left_alone(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    assert not process.keep_memory()


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not process.keep_memory()


@pytest.mark.parametrize(("machine", "expected"), [("x86_64", "1"), ("aarch64", None)])
def test_onednn_is_chosen_on_x86(monkeypatch, machine, expected):
    monkeypatch.delenv(process.ONEDNN, raising=False)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(process, "keep_memory", lambda: False)
    process.configure()
    assert os.environ.get(process.ONEDNN) == expected


def test_a_users_own_choice_of_onednn_is_respected(monkeypatch):
    monkeypatch.setenv(process.ONEDNN, "0")
    process.configure()
    assert os.environ[process.ONEDNN] == "0"
