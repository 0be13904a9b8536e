"""What commands say on stderr: their first word, warnings, and which files they leave out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from data_prep.scans.choosing import LeftOut

_NAMED = 3


def tell_opening(*names: object, model: str = "") -> None:
    """Say on stderr what is being opened, before anything slow is imported.

    Said to files and pipes, too: it is one line, and a log says what a call was about.

    Args:
        names: Files and folders, as they were given.
        model: The MODEL that was asked for; empty if none was.
    """
    shown = [str(name) for name in names[:_NAMED]]
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    with_model = [f"model {model}"] if model else []
    click.echo(f"opening {', '.join(shown + more + with_model)} ...", err=True)


def tell(warnings: Sequence[str], left_out: "Sequence[LeftOut]") -> None:
    """Say on stderr what a person should know, and which files were left out.

    Args:
        warnings: A line each.
        left_out: Counted by reason, and listed.
    """
    from data_prep.scans.choosing import counted

    for text in warnings:
        click.echo(f"srmri-tf: warning: {text}", err=True)
    if left_out:
        click.echo(counted(left_out), err=True)
