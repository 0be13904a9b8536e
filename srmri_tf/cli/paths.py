"""Paths on the command line; a leading ``~`` is a home folder also where a shell left it alone."""

import os
from pathlib import Path
from typing import Any

import click


class UserPath(click.Path):
    """A path whose quoted ``~`` or ``~user`` is expanded, unless there is a file of that name.

    An empty one, as a script passes it whose variable is not set, is no name for this folder.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, expanded and of the wanted type."""
        text = os.fspath(value)
        if not text:
            self.fail("is empty: a variable that is not set?", param, ctx)
        if text.startswith("~") and not os.path.lexists(text):
            value = os.path.expanduser(text)  # noqa: PTH111  # of strings, too
        return super().convert(value, param, ctx)


PATH = UserPath(path_type=Path)
NAME = UserPath(path_type=str)
"""A path, or the name of something that comes with the package."""
