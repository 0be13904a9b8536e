"""Commands about models: fit, evaluate, export, demo."""

import click

COMMANDS: tuple[click.Command, ...] = ()
