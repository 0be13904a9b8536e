"""``--json``: what a command has to say as one document on stdout. docs/json.md describes it."""

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srmri_tf import __version__
from srmri_tf.cli.opening import warn
from srmri_tf.cli.surroundings import known

if TYPE_CHECKING:
    from data_prep.scans.choosing import LeftOut

SCHEMA = "srmri-tf/1"

as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead.")
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


class Report:
    """What a command found: as text line by line, or as one document at its end.

    Args:
        as_json: Keep text back.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self.result: dict[str, Any] = {}
        self.warnings: list[str] = []
        self.left_out: list[dict[str, Any]] = []

    def say(self, text: str) -> None:
        """A line for people."""
        if not self._as_json:
            click.echo(text)

    def warn(self, text: str) -> None:
        """A warning, which goes to stderr, too."""
        self.warnings.append(text)
        warn(text)

    def leave_out(self, left_out: "Iterable[LeftOut]") -> None:
        """Files that are not used; they are counted and listed on stderr, too."""
        from data_prep.scans.choosing import counted

        items = list(left_out)
        self.left_out += [{"file": item.path, "reason": item.reason} for item in items]
        if items:
            click.echo(counted(items), err=True)


@contextlib.contextmanager
def reporting(command: str, as_json: bool) -> Iterator[Report]:
    """Collect what a command has to say, and print the document at its end, also after an error.

    Args:
        command: Its name.
        as_json: Whether a document is wanted.
    """
    report = Report(as_json)
    try:
        yield report
    except Exception as error:
        if as_json and (fault := known(error)):
            _print(command, report, {"message": str(fault), "exit_code": fault.exit_code})
        raise
    if as_json:
        _print(command, report, None)


def _print(command: str, report: Report, error: Mapping[str, Any] | None) -> None:
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "command": command,
        "error": error,
        "warnings": report.warnings,
        "left_out": report.left_out,
        "result": report.result,
    }
    click.echo(json.dumps(_plain(document), indent=2, allow_nan=False))


def _plain(tree: Any) -> Any:
    """The same tree of what JSON knows: paths are strings, what is not finite is null."""
    if isinstance(tree, Mapping):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return str(tree) if isinstance(tree, Path) else tree
