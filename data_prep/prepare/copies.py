"""Scans that are the same bytes under two names: refused across splits, warned of within one."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from data_prep.errors import BadInputError, raise_together
from data_prep.prepare.plan import Item, Plan
from data_prep.scans import layouts, nifti

_ENDS = 1 << 16  # bytes at either end of a file, which mostly tell files of one size apart


def check_copies(plan: Plan) -> list[str]:
    """Look for copies among a plan's scans.

    Returns:
        A warning for each group of copies in one split.

    Raises:
        BadInputError: Copies of a scan are in two splits or folds; all such scans are named.
    """
    places: dict[Path, Item] = {item.scan.path: item for item in plan.items}
    faults, warnings = [], []
    for first, *others in same_bytes(places):
        shown = ", ".join(
            f"{path.name} ({places[path].scan.subject}, {_place(places[path])})" for path in others
        )
        within = len({_place(places[path]) for path in (first, *others)}) == 1
        if within or plan.split_rule.by == "slice":
            warnings.append(f"{first}: is the same file as {shown}; each counts")
        else:
            faults.append(
                BadInputError(
                    f"is the same file as {shown}, but is {places[first].scan.subject} in "
                    f"{_place(places[first])}: one scan would be in two splits",
                    path=first,
                    remedy="Leave one of them out, or give both one subject label",
                )
            )
    raise_together(faults)
    return warnings


def same_bytes(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Groups of scans with the same files; whole files are read only where ends agree."""
    for alike in _groups(paths, _size):
        for closer in _groups(alike, _ends):
            yield from _groups(closer, nifti.checksum)


def _groups(paths: Iterable[Path], key: Callable[[Path], object]) -> Iterator[list[Path]]:
    groups: dict[object, list[Path]] = {}
    for path in paths:
        try:
            groups.setdefault(key(path), []).append(path)
        except OSError as error:
            raise BadInputError(
                f"cannot be read: {error.strerror}", path=path, remedy="Check the file"
            ) from None
    yield from (group for group in groups.values() if len(group) > 1)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in layouts.files(path))


def _ends(path: Path) -> bytes:
    digest = hashlib.sha256()
    for each in layouts.files(path):
        with each.open("rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(-min(_ENDS, each.stat().st_size), 2)
            digest.update(file.read())
    return digest.digest()


def _place(item: Item) -> str:
    return item.split if item.fold is None else f"fold {item.fold}"
