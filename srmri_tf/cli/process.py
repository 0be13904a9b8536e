"""How a process of this package computes and takes memory; set before TensorFlow is imported.

Two settings, both of which a user's own setting overrides:

oneDNN
    TensorFlow uses oneDNN's convolutions by default only on processors with AVX-512 VNNI or newer
    instructions. They are faster than Eigen's with AVX2, too.
Memory
    glibc returns every large array to the kernel and takes it back, zeroed page by page, for the
    next operation. Here it keeps what it has, so a process holds its peak until it ends.
"""

import ctypes
import os
import platform
import sys

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

# glibc's malloc.h: parameter, value.
_KEEP_MEMORY = (
    (-4, 0),  # M_MMAP_MAX: no array is a mapping of its own, which would be returned at once
    (-1, -1),  # M_TRIM_THRESHOLD: never return the top of the heap
    (-2, 256 << 20),  # M_TOP_PAD: take so many bytes more than are asked for
    (-8, 1),  # M_ARENA_MAX: one heap for all threads; the others' would be returned when empty
)


def configure() -> None:
    """Choose oneDNN and keep freed memory, unless the user has chosen otherwise."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        os.environ.setdefault(ONEDNN, "1")
    keep_memory()


def keep_memory() -> bool:
    """Make glibc's allocator keep freed memory for the next array.

    Returns:
        Whether it was set: not on other systems and C libraries, nor where the environment
        preloads a library or sets glibc's allocator up itself.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or _user_has_chosen():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    taken = [mallopt(parameter, value) for parameter, value in _KEEP_MEMORY]
    return all(taken)


def _user_has_chosen() -> bool:
    return (
        bool(os.environ.get("LD_PRELOAD"))
        or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
        or any(name.startswith("MALLOC_") for name in os.environ)
    )
