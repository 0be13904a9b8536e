"""How a process of this package computes and takes memory; set before libraries are imported.

Whatever is set up for other projects, Keras's backend and its file of settings among it, does not
count. Two settings are of speed, and a user's own setting overrides them:

oneDNN
    TensorFlow uses oneDNN's convolutions by default only on processors with AVX-512 VNNI or newer
    instructions. They are faster than Eigen's with AVX2, too.
Memory
    glibc returns every large array to the kernel and takes it back, zeroed page by page, for the
    next operation. Here it keeps what it has, so a process holds its peak until it ends.
"""

import contextlib
import ctypes
import os
import platform
import resource
import sys
import threading
from collections.abc import Iterator

from data_prep.errors import EnvironmentFault

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

# glibc's malloc.h: parameter, value.
_KEEP_MEMORY = (
    (-4, 0),  # M_MMAP_MAX: no array is a mapping of its own, which would be returned at once
    (-1, -1),  # M_TRIM_THRESHOLD: never return the top of the heap
    (-2, 256 << 20),  # M_TOP_PAD: take so many bytes more than are asked for
    (-8, 1),  # M_ARENA_MAX: one heap for all threads; the others' would be returned when empty
)


def isolate() -> None:
    """Set what every command needs, for this process and those it starts."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "MPLBACKEND": "agg"}
    for name in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "TF_XLA_FLAGS"):
        os.environ.pop(name, None)
    # No command multiplies large matrices with NumPy, and where threads are few, OpenBLAS answers
    # that it cannot start its own with an interrupt.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def open_standard_files() -> None:
    """Open what a parent process has closed of stdin, stdout and stderr: it leads nowhere."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115


def need_address_space(megabytes: int, what: str) -> None:
    """Refuse a limit (``ulimit -v``) under which libraries do not fail, but crash or hang.

    Args:
        megabytes: So much is needed at least.
        what: Needs it.

    Raises:
        EnvironmentFault: There is less.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < megabytes << 20:
        raise EnvironmentFault(
            f"there is not enough memory: address space is limited to {limit >> 20} MB, but {what} "
            f"needs {megabytes} MB",
            remedy="Raise the limit (`ulimit -v`), or ask the cluster for more",
        )


def need_threads(count: int) -> None:
    """Start so many threads and end them: TensorFlow, which cannot start its own, aborts.

    Raises:
        RuntimeError: They cannot be started.
    """
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, daemon=True) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
    finally:
        end.set()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def without_keras_settings() -> Iterator[None]:
    """Import Keras in this: it reads no ``keras.json``, and writes none."""
    before = os.environ.get("KERAS_HOME")
    os.environ["KERAS_HOME"] = f"{os.devnull}/keras"  # where no file can be
    try:
        yield
    finally:
        if before is None:
            del os.environ["KERAS_HOME"]
        else:
            os.environ["KERAS_HOME"] = before


def configure() -> None:
    """Choose oneDNN and keep freed memory, unless the user has chosen otherwise."""
    isolate()
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
