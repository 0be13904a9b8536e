"""``--json``: what a command has to say as one document on stdout. docs/json.md describes it."""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from data_prep.files import plain
from data_prep.progress import MESSAGES
from srmri_tf import __version__
from srmri_tf.cli import messages
from srmri_tf.cli.surroundings import message_and_code

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
        self._counted = ""
        self._since = time.monotonic()

    def say(self, text: str) -> None:
        """A line for people."""
        if not self._as_json:
            click.echo(text)

    def warn(self, text: str) -> None:
        """A warning, which goes to stderr, too."""
        self.warnings.append(text)
        MESSAGES.warning(text)

    def leave_out(self, left_out: "Iterable[LeftOut]") -> None:
        """Files that are not used; they are counted and listed on stderr, too."""
        from data_prep.scans import choosing

        items = list(left_out)
        self.left_out += [{"file": item.path, "reason": item.reason} for item in items]
        if items:
            self._counted = choosing.counted(items)
            MESSAGES.info(self._counted)

    def sum_up(self, *parts: str | int) -> None:
        """The last line on stderr: what was done, what was left out, how long it took.

        Args:
            parts: What was done; what is empty or 0 is not said.
        """
        done = ", ".join(str(part) for part in parts if part)
        left_out = self._counted.partition("\n")[0]
        took = messages.duration(time.monotonic() - self._since)
        MESSAGES.info("; ".join(part for part in (done, left_out, took) if part))


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns begin at the same places."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def counted(number: int, what: str) -> str:
    """``1 scan``, ``2 scans``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


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
    except (Exception, KeyboardInterrupt) as error:
        if as_json:
            message, code = message_and_code(error)
            _print(command, report, {"message": message, "exit_code": code})
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
    click.echo(json.dumps(plain(document), indent=2, allow_nan=False))
