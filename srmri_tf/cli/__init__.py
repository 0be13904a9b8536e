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
from collections.abc import Callable, Sequence
from typing import Any

import click

from data_prep.errors import ConfigError
from data_prep.progress import MESSAGES
from srmri_tf import __version__
from srmri_tf.cli import data, download, enhance, measure, messages, model, process, ship
from srmri_tf.cli.surroundings import known

INTERRUPTED = 130


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
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be none in UTF-8
        sys.stdout.reconfigure(errors="surrogateescape")
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread:
        signal.signal(signal.SIGTERM, _interrupt)
    process.isolate()
    started = time.monotonic()
    with messages.speaking():
        code = _run(arguments, ends=main_thread and argv is None)
        took = messages.duration(time.monotonic() - started)
        _say(
            MESSAGES.debug,
            f"exit code {code} after {took}: srmri-tf {shlex.join(arguments)} "
            f"(version {__version__}, Python {platform.python_version()})",
        )
    sys.exit(code)


def _run(arguments: Sequence[str], ends: bool) -> int:
    """The exit code of a command line, once what went wrong has been said.

    Args:
        arguments: Of the command line.
        ends: Whether the process ends with it. A second Ctrl-C then no longer changes how.
    """
    try:
        try:
            code = cli.main(list(arguments), prog_name="srmri-tf", standalone_mode=False)
            sys.stdout.flush()
        finally:
            if ends:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        _say(MESSAGES.critical, shown.getvalue().rstrip())
        return ConfigError.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say(MESSAGES.critical, "interrupted")
        return INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            raise
        fault = known(error)
        if fault:
            _say(MESSAGES.error, str(fault))
        else:
            _say(MESSAGES.error, _internal(error), error)
        _forget_output()
        return fault.exit_code if fault else 1
    return code or 0


def _interrupt(number: int, frame: Any) -> None:
    """Take SIGTERM, which schedulers send, for Ctrl-C: what is finished is kept."""
    raise KeyboardInterrupt


def _internal(error: Exception) -> str:
    return (
        f"internal error: {type(error).__name__}: {error}\n"
        "This is a fault in srmri-tf; `srmri-tf --debug ...` shows where."
    )


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
