"""The `srmri-tf` command: nothing heavy is imported before one runs."""

import signal
import sys
import threading
from typing import Any

import click

from data_prep.errors import ConfigError, EnvironmentFault, SrmriError
from srmri_tf import __version__
from srmri_tf.cli import data, download, enhance, measure, model, ship

INTERRUPTED = 130
_SMALLER = "Free some, or give less to do at once: fewer --workers, a smaller --batch-size"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="srmri-tf")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Super-resolution MRI with GAN-CPCE and GAN-CIRCLE.

    enhance super-resolves scans; prepare makes shards of them, fit trains, evaluate measures,
    export ships the model.
    """


for module in (enhance, download, data, model, measure, ship):
    for command in module.COMMANDS:
        cli.add_command(command)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; every error is a few lines on stderr and its own exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(cli.main(arguments, prog_name="srmri-tf", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(ConfigError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except MemoryError as error:
        _report(EnvironmentFault(f"there is too little memory ({error})", remedy=_SMALLER))
        sys.exit(EnvironmentFault.exit_code)
    except Exception as error:
        if "--debug" in arguments:
            raise
        _report(error)
        sys.exit(error.exit_code if isinstance(error, SrmriError) else 1)


def _interrupt(number: int, frame: Any) -> None:
    """Take SIGTERM, which schedulers send, for Ctrl-C: what is finished is kept."""
    raise KeyboardInterrupt


def _report(error: Exception) -> None:
    if isinstance(error, SrmriError):
        click.echo(f"srmri-tf: {error}", err=True)
        return
    click.echo(
        f"srmri-tf: internal error: {type(error).__name__}: {error}\n"
        "This is a fault in srmri-tf; `srmri-tf --debug ...` shows where.",
        err=True,
    )
