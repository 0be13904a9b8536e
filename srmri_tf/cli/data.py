"""Commands about data: download, prepare, verify, inspect."""

import click

COMMANDS: tuple[click.Command, ...] = ()
