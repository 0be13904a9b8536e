"""The `srmri-tf` command: nothing heavy is imported before one runs."""

import contextlib
import io
import os
import platform
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from data_prep.errors import ConfigError
from data_prep.progress import MESSAGES
from srmri_tf import __version__
from srmri_tf.cli import data, download, enhance, measure, messages, model, process, ship
from srmri_tf.cli.surroundings import known, message_and_code


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="srmri-tf")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Super-resolution MRI with GAN-CPCE and GAN-CIRCLE.

    enhance super-resolves scans; prepare makes shards of them, fit trains, evaluate measures,
    export ships the model.
    """
    process.need_address_space(300, "any command")


for module in (enhance, download, data, model, measure, ship):
    for command in module.COMMANDS:
        cli.add_command(command)
messages.with_options(cli)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; every error is a few lines on stderr and its own exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    process.open_standard_files()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be none in UTF-8
        sys.stdout.reconfigure(errors="surrogateescape")
    process.isolate()
    started = time.monotonic()
    with messages.speaking():
        code = _run(arguments, process_ends=argv is None)
        took = messages.duration(time.monotonic() - started)
        _say(
            MESSAGES.debug,
            f"exit code {code} after {took}: srmri-tf {shlex.join(arguments)} "
            f"(version {__version__}, Python {platform.python_version()})",
        )
    sys.exit(code)


def _run(arguments: Sequence[str], process_ends: bool) -> int:
    """The exit code of a command line, once what went wrong has been said."""
    try:
        with _interruptible(process_ends):
            code = cli.main(list(arguments), prog_name="srmri-tf", standalone_mode=False)
            sys.stdout.flush()
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _say(MESSAGES.critical, shown.getvalue().rstrip())
        return ConfigError.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        text, code = message_and_code(error)
        _say(MESSAGES.critical, text)
        return code
    except Exception as error:
        if "--debug" in arguments:
            raise
        text, code = message_and_code(error)
        _say(MESSAGES.error, text, None if known(error) else error)
        _forget_output()
        return code
    return code or 0


@contextlib.contextmanager
def _interruptible(process_ends: bool) -> Iterator[None]:
    """Take SIGTERM, which schedulers send, for Ctrl-C: what is finished is kept.

    Args:
        process_ends: The process ends after this. A second interrupt shall not change how.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if process_ends:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _say(log: Callable[..., None], text: str, error: Exception | None = None) -> None:
    """Say the last words; a log file gets the traceback of an error, too."""
    with contextlib.suppress(OSError):  # stderr may be on a full disk, too
        log(text, exc_info=error)


def _forget_output() -> None:
    """Drop what could not be written to stdout, which Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
