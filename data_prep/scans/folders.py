"""Search folders: links to folders are followed, loops are not; `.bidsignore` is obeyed.

Also tells files that were never fetched: git-annex and Git LFS leave a link or a few lines of text
where a file's content belongs.
"""

import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.errors import BadInputError

IGNORE = ".bidsignore"
DESCRIPTION = "dataset_description.json"
TO_NOTHING = "a link to nothing"
_POINTER = 200  # bytes that are looked at


def walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, sorted folder by folder; hidden files and folders are left out.

    A folder that several links lead to is searched once, under its own name if it has one here.

    Raises:
        BadInputError: A folder cannot be read.
    """
    folders, links, seen = deque([folder]), deque[Path](), set[str]()
    while folders or links:
        here = (folders or links).popleft()
        real = os.path.realpath(here)
        if real in seen:
            continue
        seen.add(real)
        for path in _children(here):
            if path.is_dir():
                (links if path.is_symlink() else folders).append(path)
            else:
                yield path


def is_bids(folder: Path) -> bool:
    """Whether a folder is a BIDS data set."""
    described = (folder / DESCRIPTION).exists()
    return described or any(folder.glob("sub-*/**/anat"))


def dataset_of(folder: Path) -> Path | None:
    """The BIDS data set that a folder is, or whose subject it lies in; None if there is none."""
    if is_bids(folder):
        return folder
    below = folder.absolute()
    for above in below.parents:
        if below.name.startswith("sub-") and is_bids(above):
            return above
        below = above
    return None


def anatomical(dataset: Path) -> list[Path]:
    """The files in the ``anat`` folders of a BIDS data set."""
    patterns = ("sub-*/anat/*", "sub-*/ses-*/anat/*")
    return sorted(path for pattern in patterns for path in dataset.glob(pattern))


def outside_derivatives(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Tell what BIDS derivatives hold from other files, as in ``study/{rawdata,derivatives}``.

    Returns:
        Files that lie in no derivative, and those that do.
    """
    described = [path for path in paths if path.name == DESCRIPTION]
    derived = {path.parent for path in described if _is_derivative(path)}
    kept: list[Path] = []
    inside: list[Path] = []
    for path in paths:
        (kept if derived.isdisjoint(path.parents) else inside).append(path)
    return kept, inside


def _is_derivative(description: Path) -> bool:
    try:
        found = json.loads(description.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("DatasetType") == "derivative"


def root_of(path: Path) -> Path | None:
    """The data set of a file that lies in the folder of a subject, ``sub-LABEL``; else None."""
    parents = path.absolute().parents
    return next((folder.parent for folder in parents if folder.name.startswith("sub-")), None)


def is_ignored(path: Path) -> bool:
    """Whether the ``.bidsignore`` of a file's data set names it.

    Raises:
        BadInputError: A line of it is no pattern.
    """
    root = root_of(path)
    if root is None:
        return False
    try:
        lines = (root / IGNORE).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    rules = [rule for number, line in enumerate(lines, 1) if (rule := _rule(line, number, root))]
    return _is_named(path.absolute().relative_to(root), rules)


def not_fetched(path: Path) -> str:
    """What fetches a file whose content is not here, or `TO_NOTHING`; empty if it is here."""
    if path.is_symlink() and not path.exists():
        annexed = "annex/objects" in os.readlink(path)  # noqa: PTH115  # as it is written
        return "datalad get" if annexed else TO_NOTHING
    try:
        with path.open("rb") as file:
            start = file.read(_POINTER)
    except OSError:
        return ""
    if start.startswith(b"version https://git-lfs.github.com/"):
        return "git lfs pull"
    return "datalad get" if start.startswith(b"/annex/objects/") else ""


def _children(folder: Path) -> list[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError as error:
        raise BadInputError(
            f"cannot be searched: {error.strerror}", path=folder, remedy="Check the folder"
        ) from None
    return [path for path in found if not path.name.startswith(".")]


def _rule(line: str, number: int, root: Path) -> tuple[re.Pattern[str], bool] | None:
    """A line of gitignore as a pattern of POSIX paths, and whether it takes them in again."""
    text = line.rstrip()
    if not text or text.startswith("#"):
        return None
    back = text.startswith("!")
    text = text.removeprefix("!")
    anchored = "/" in text.rstrip("/")
    inside = "/.+" if text.endswith("/") else "(/.+)?"
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?+.[^]]*\])", text.strip("/"))
    special = {"**/": "(.+/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(
        special.get(part) or (part.replace("[!", "[^") if part[:1] == "[" else re.escape(part))
        for part in parts
    )
    try:
        return re.compile(("" if anchored else "(.+/)?") + body + inside), back
    except re.error as error:
        raise BadInputError(
            f"line {number} is no pattern of gitignore: {line!r} ({error})",
            path=root / IGNORE,
            remedy="Correct the line",
        ) from None


def _is_named(path: Path, rules: Iterable[tuple[re.Pattern[str], bool]]) -> bool:
    """Whether the last rule that fits a path leaves it out."""
    ignored = False
    for pattern, back in rules:
        if pattern.fullmatch(path.as_posix()):
            ignored = not back
    return ignored
