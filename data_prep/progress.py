"""Messages, and progress bars on stderr, which vanish when done and are for terminals only."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # commands that draw nothing need not wait for its import
    from rich.console import Console
    from rich.progress import Progress

#: What is said on the way; commands show it on stderr and keep it in log files.
MESSAGES = logging.getLogger("srmri_tf")

#: Whether bars are left out on terminals, too.
quiet = False

#: Called with a description, the bytes there are and the bytes there will be (None: unknown).
Reporter = Callable[[str, int, int | None], None]
#: Called with what is done, what there is to do, and the name of what is being done.
Counter = Callable[[int, int, str], None]


def bar(*columns: Any, console: "Console | None" = None) -> "Progress":
    """A bar of such columns, to be started and stopped.

    Args:
        columns: Rich's columns.
        console: Where to draw; stderr by default.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = console or Console(stderr=True, force_terminal=_is_watched())
    shown = console.is_terminal and not quiet
    return Progress(*columns, console=console, transient=True, disable=not shown)


def message_console(*, silent: bool = False) -> "Console":
    """A console on stderr whose lines are messages while a command runs.

    Args:
        silent: Nothing is shown, as in all processes of a cluster but one.
    """
    from rich.console import Console

    class MessageConsole(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            if MESSAGES.handlers and not silent and all(isinstance(o, str) for o in objects):
                MESSAGES.info(" ".join(objects))
            else:  # bars, and training that is called from Python
                super().print(*objects, **options)

    return MessageConsole(stderr=True, quiet=silent, force_terminal=_is_watched())


def _is_watched() -> bool:
    """Whether stderr is a terminal; rich takes FORCE_COLOR, which notebooks set, for one, too."""
    return sys.stderr.isatty()


@contextlib.contextmanager
def counting(verb: str) -> Iterator[Counter]:
    """A bar of things done, such as scans.

    Args:
        verb: What is done with them.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    name = TextColumn("{task.description}")
    columns = TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), name
    with bar(*columns) as shown:
        task = shown.add_task("", total=None)

        def advance(done: int, total: int, name: str) -> None:
            shown.update(task, completed=done, total=total, description=name)

        yield advance


@contextlib.contextmanager
def downloading() -> Iterator[Reporter]:
    """A bar of bytes for each file, with rate and time left."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    tasks: dict[str, progress.TaskID] = {}
    with bar(*columns) as shown:

        def report(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name if len(name) < 24 else f"{name[:22]}…")
            shown.update(tasks[name], completed=done, total=total)

        yield report
