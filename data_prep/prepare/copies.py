"""One scan under two names: refused across splits, warned of within one.

Two files are one scan if they hold the same bytes once unpacked, as ``a.nii`` and ``a.nii.gz`` do.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from data_prep.errors import BadInputError, raise_together
from data_prep.prepare.plan import Item, Plan
from data_prep.scans import gzip, layouts

_START = 1 << 16  # bytes that mostly tell files of one length apart
_CHUNK = 1 << 20


def check_copies(plan: Plan) -> list[str]:
    """Look for copies among a plan's scans.

    Returns:
        A warning for each group of copies in one split.

    Raises:
        BadInputError: Copies of a scan are in two splits or folds; all such scans are named.
    """
    places: dict[Path, Item] = {item.scan.path: item for item in plan.items}
    faults, warnings = [], []
    for first, *others in same_content(places):
        shown = ", ".join(
            f"{path.name} ({places[path].scan.subject}, {_place(places[path])})" for path in others
        )
        within = len({_place(places[path]) for path in (first, *others)}) == 1
        if within or plan.split_rule.by == "slice":
            warnings.append(f"{first}: is the same scan as {shown}; each counts")
        else:
            faults.append(
                BadInputError(
                    f"is the same scan as {shown}, but is {places[first].scan.subject} in "
                    f"{_place(places[first])}: one scan would be in two splits",
                    path=first,
                    remedy="Leave one of them out, or give both one subject label",
                )
            )
    raise_together(faults)
    return warnings


def same_content(paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Groups of scans whose files hold the same; only where all else agrees they are read whole."""
    groups = [list(paths)]
    for key in (_length, _start, _crc, _content):
        groups = [closer for group in groups for closer in _groups(group, key)]
    yield from groups


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


def _length(path: Path) -> tuple[int, ...]:
    return tuple(map(gzip.length, layouts.files(path)))


def _start(path: Path) -> bytes:
    return _digest(path, _START)


def _crc(path: Path) -> tuple[int, ...]:
    return tuple(map(gzip.crc, layouts.files(path)))


def _content(path: Path) -> bytes:
    return _digest(path)


def _digest(path: Path, most: int | None = None) -> bytes:
    """SHA-256 of what a scan's files hold, or of how each begins; as stored if it is damaged."""
    try:
        return _sha256(path, gzip.opened, most)
    except gzip.DAMAGE:
        return _sha256(path, lambda file: file.open("rb"), most)


def _sha256(path: Path, opened: Callable[[Path], IO[bytes]], most: int | None) -> bytes:
    digest = hashlib.sha256()
    for file in layouts.files(path):
        with opened(file) as stream:
            if most is not None:
                digest.update(stream.read(most))
                continue
            while block := stream.read(_CHUNK):
                digest.update(block)
    return digest.digest()


def _place(item: Item) -> str:
    return item.split if item.fold is None else f"fold {item.fold}"
