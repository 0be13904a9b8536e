"""The exceptions a user can meet; each class carries the exit code of its kind.

A message is one line: the file, what is wrong with it, and what to do.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


class SrmriError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        fault: What is wrong and what was expected, as a clause without a full stop; a
            listing ends with a line break.
        path: The file or folder at fault, if there is one.
        remedy: What the user can do about it, as a sentence without a full stop.
    """

    exit_code = 1

    def __init__(self, fault: str, *, path: str | Path | None = None, remedy: str) -> None:
        self.fault = fault
        self.path = None if path is None else Path(path)
        self.remedy = remedy
        super().__init__(fault, path, remedy)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path is not None else ""
        # A fault that lists many things ends with a line break: the remedy gets a line of its own.
        fault = self.fault if self.fault.endswith("\n") else f"{self.fault}. "
        remedy = f"{self.remedy}." if self.remedy else ""
        return f"{where}{fault}{remedy}".rstrip()

    def __reduce__(self) -> tuple:
        # Keyword-only arguments do not survive Exception's own pickling between processes.
        return _rebuild, (type(self), self.fault, self.path, self.remedy)


class ConfigError(SrmriError):
    """Wrong usage or configuration."""

    exit_code = 2


class BadInputError(SrmriError):
    """An input file is missing, malformed or unsuitable."""

    exit_code = 3


class CorruptArtefactError(SrmriError):
    """A shard, checkpoint, model or weight file is not what was written."""

    exit_code = 4


class EnvironmentFault(SrmriError):  # noqa: N818  # a full disk or no network is nobody's error
    """Disk, network, device or a missing optional package."""

    exit_code = 5


class DivergedError(SrmriError):
    """Training produced a value that is not finite, or a dead network."""

    exit_code = 6


def raise_together(faults: Sequence[BadInputError]) -> None:
    """Raise the faults of several scans as one; a single one as it is, none not at all.

    Raises:
        BadInputError: There are any.
    """
    if len(faults) == 1:
        raise faults[0]
    if faults:
        lines = sorted(str(fault) for fault in faults)
        raise BadInputError(f"{len(faults)} scans cannot be used:{listed(lines, 50)}\n", remedy="")


def listed(lines: Sequence[str], most: int = 20) -> str:
    """Lines below a sentence, but not too many of them."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "".join(f"\n  {line}" for line in [*lines[:most], *more])


def what_differs(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    old_name: str = "there",
    new_name: str = "asked for",
) -> list[str]:
    """A line for each setting that differs: ``split.seed: 0 there, 7 asked for``.

    Args:
        old: Settings by name; those of a section are called ``section.name``.
        new: The same of the others.
        old_name: Says where the old ones are.
        new_name: Says where the new ones are.
    """
    before, after = dict(_flat(old)), dict(_flat(new))
    return [
        f"{key}: {before.get(key)} {old_name}, {after.get(key)} {new_name}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _rebuild(kind: type[SrmriError], fault: str, path: Path | None, remedy: str) -> SrmriError:
    return kind(fault, path=path, remedy=remedy)
