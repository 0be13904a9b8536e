"""What commands say on stderr and, with ``--log-file``, in a file: Python's logging, one logger.

Warnings and errors are always said, other lines unless ``--quiet``, details with ``--verbose``. A
log file has all of them, each with its time. Results are on stdout and no messages.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from data_prep import progress
from data_prep.files import disk_errors
from data_prep.progress import MESSAGES
from srmri_tf.cli.paths import PATH

_PREFIXES = {logging.WARNING: "srmri-tf: warning: ", logging.ERROR: "srmri-tf: "}


class _Terminal(logging.Handler):
    """Stderr, wherever it is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # what is being done matters more than its messages
            click.echo(_PREFIXES.get(record.levelno, "") + record.getMessage(), err=True)


class _File(logging.FileHandler):
    """A log file; it is given up with a warning when it cannot be written any more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        MESSAGES.removeHandler(self)
        MESSAGES.warning("%s: cannot be written, so the rest is not in it", self.baseFilename)


_terminal = _Terminal()


@contextlib.contextmanager
def speaking() -> Iterator[None]:
    """Say what is logged on stderr while a command runs."""
    MESSAGES.setLevel(logging.DEBUG)
    MESSAGES.propagate = False
    MESSAGES.addHandler(_terminal)
    _set_level(logging.INFO)
    try:
        yield
    finally:
        for handler in list(MESSAGES.handlers):
            MESSAGES.removeHandler(handler)
            with contextlib.suppress(OSError):  # of a full disk
                handler.close()
        _set_level(logging.INFO)
        MESSAGES.propagate = True


def duration(seconds: float) -> str:
    """A time in words: ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _set_level(level: int) -> None:
    _terminal.setLevel(level)
    progress.quiet = level > logging.INFO


def _write_to(path: Path) -> None:
    with disk_errors(path):
        file = _File(path, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    MESSAGES.addHandler(file)


def _option(*names: str, act: Callable[[Any], None], **described: Any) -> click.Option:
    """An option that acts as soon as it is read, and that commands do not see."""

    def callback(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value and not context.resilient_parsing:
            act(value)

    return click.Option(names, callback=callback, is_eager=True, expose_value=False, **described)


_OPTIONS = (
    _option(
        "-q",
        "--quiet",
        act=lambda given: _set_level(logging.WARNING),
        is_flag=True,
        help="Say nothing but results, warnings and errors.",
    ),
    _option(
        "-v",
        "--verbose",
        act=lambda given: _set_level(logging.DEBUG),
        is_flag=True,
        help="Say more.",
    ),
    _option(
        "--log-file",
        act=_write_to,
        type=PATH,
        metavar="FILE",
        help="Also add everything that is said to FILE, with times.",
    ),
)


def with_options(command: click.Command) -> click.Command:
    """Give a command, and those in it, the options of messages."""
    command.params += _OPTIONS
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            with_options(inner)
    return command
