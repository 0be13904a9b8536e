"""Errors as a person sees them: those of the surroundings (memory, disk, threads), and the rest."""

import errno
import os

import click

from data_prep.errors import ConfigError, EnvironmentFault, SrmriError

INTERRUPTED = 130

_MEMORY = EnvironmentFault(
    "there is not enough memory",
    remedy="Free some, raise the limit (`ulimit -v`), or ask the cluster for more",
)
_THREADS = EnvironmentFault(
    "no more threads or processes can be started",
    remedy="Raise the limit (`ulimit -u`), or stop others",
)
_FULL = EnvironmentFault(
    "output cannot be written: the disk is full", remedy="Free some space, or send it elsewhere"
)
_ALONE = EnvironmentFault(
    "another machine of this training has stopped, or cannot be reached",
    remedy="Look at its own message, then run the same command again on all of them",
)
_PORT = EnvironmentFault(
    "this machine's port in TF_CONFIG is in use or cannot be opened",
    remedy="Give another port, or stop what uses it",
)
_NOWHERE = EnvironmentFault(
    "the current folder does not exist any more", remedy="Change to another folder"
)
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE, errno.EFBIG)
_OUT_OF_MEMORY = ("cannot allocate memory", "failed to map segment", "bad_alloc", "out of memory")


def message_and_code(error: BaseException) -> tuple[str, int]:
    """The message of an error that ends a command, and its exit code."""
    if isinstance(error, click.ClickException):
        return error.format_message(), ConfigError.exit_code
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if fault := known(error):
        return str(fault), fault.exit_code
    return (
        f"internal error: {type(error).__name__}: {error}\n"
        "This is a fault in srmri-tf; `srmri-tf --debug ...` shows where."
    ), 1


def known(error: BaseException) -> SrmriError | None:
    """An error as a person should see it; None if it can only be a fault of this program."""
    return error if isinstance(error, SrmriError) else fault_of(error)


def fault_of(error: BaseException) -> EnvironmentFault | None:
    """What of the surroundings is behind an error, or behind the one it is said to come from.

    Returns:
        None if it can only be a fault of this program.
    """
    seen: BaseException | None = error
    while seen is not None:
        if found := _fault(seen):
            return found
        seen = seen.__cause__
    return None


def _fault(error: BaseException) -> EnvironmentFault | None:
    text, kind = str(error).lower(), type(error).__name__
    # TensorFlow's errors are told by their name: it need not have been imported.
    if kind == "ResourceExhaustedError" and "no space left" in text:
        return _FULL
    if kind == "UnavailableError" or (kind == "AbortedError" and "collective" in text):
        return _ALONE
    if kind == "UnknownError" and "grpc server" in text:
        return _PORT
    short_of_memory = isinstance(error, MemoryError) or kind == "ResourceExhaustedError"
    if short_of_memory or any(words in text for words in _OUT_OF_MEMORY):
        return _MEMORY
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return _THREADS
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, ImportError):
        return EnvironmentFault(
            f"a library cannot be imported ({error})",
            remedy="Install the package again; a file of that name in PYTHONPATH hides it, too",
        )
    return None


def _of_the_system(error: OSError) -> EnvironmentFault:
    if error.errno == errno.ENOMEM:
        return _MEMORY
    if error.errno == errno.EAGAIN:
        return _THREADS
    what = error.strerror or str(error) or type(error).__name__
    if isinstance(error.filename, str):
        return EnvironmentFault(
            what, path=error.filename, remedy="Check the disk and its permissions"
        )
    if error.errno == errno.ENOENT and not _has_folder():
        return _NOWHERE
    if error.errno in _WRITING:
        return EnvironmentFault(
            f"output cannot be written: {what}", remedy="Free some space, or send it elsewhere"
        )
    return EnvironmentFault(f"the system refuses: {what}", remedy="Run the same command again")


def _has_folder() -> bool:
    """Whether the current folder is still there."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return False
    return True
