"""The `srmri-tf` command: nothing heavy is imported before one runs."""

import contextlib
import os
import signal
import sys
import threading
from typing import Any

import click

from data_prep.errors import ConfigError
from srmri_tf import __version__
from srmri_tf.cli import data, download, enhance, measure, model, process, ship
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


def main(argv: list[str] | None = None) -> None:
    """Run the command line; every error is a few lines on stderr and its own exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    process.isolate()
    try:
        code = cli.main(arguments, prog_name="srmri-tf", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code)
    except click.ClickException as error:
        error.show()
        sys.exit(ConfigError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if "--debug" in arguments:
            raise
        fault = known(error)
        _say(f"srmri-tf: {fault}" if fault else _internal(error))
        _forget_output()
        sys.exit(fault.exit_code if fault else 1)


def _interrupt(number: int, frame: Any) -> None:
    """Take SIGTERM, which schedulers send, for Ctrl-C: what is finished is kept."""
    raise KeyboardInterrupt


def _internal(error: Exception) -> str:
    return (
        f"srmri-tf: internal error: {type(error).__name__}: {error}\n"
        "This is a fault in srmri-tf; `srmri-tf --debug ...` shows where."
    )


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # stderr may be on a full disk, too
        click.echo(text, err=True)


def _forget_output() -> None:
    """Drop what could not be written to stdout, which Python would try again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
