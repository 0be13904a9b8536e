"""Who is in training, validation and test: a pure function of the labels and a seed.

Labels are put in the order of a seeded hash and dealt from its front: test, then validation,
then training. Adding a subject therefore moves few others, and the order of the files, the
machine and the Python version change nothing.
"""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

from data_prep.errors import BadInputError, ConfigError, listed
from data_prep.scans.names import one_spelling
from data_prep.shards.schema import SPLITS, Split, SplitRule

SPLIT_NAME = "split.tsv"


class Place(NamedTuple):
    """Where a subject belongs; ``fold`` is None without cross-validation."""

    split: Split
    fold: int | None = None


def assign(labels: Iterable[str], rule: SplitRule) -> dict[str, Place]:
    """Deal labels to splits, or to folds.

    Args:
        labels: Subjects, or slices where the rule is slice-wise; repeats count once.
        rule: Fractions, exact counts or a number of folds, and the seed.

    Returns:
        A place for every label, in sorted order; labels beyond ``train_count`` are left out.

    Raises:
        ConfigError: More labels are asked for than there are.
    """
    order = seeded_order(labels, rule.seed)
    if rule.folds:
        if rule.folds > len(order):
            raise ConfigError(
                f"{rule.folds} folds need as many subjects, got {len(order)}",
                remedy="Ask for fewer folds, or give more scans",
            )
        return {
            label: Place("train", fold)
            for label, fold in sorted(
                (label, index % rule.folds) for index, label in enumerate(order)
            )
        }
    n_test, n_val, n_train = _counts(len(order), rule)
    places = {label: Place("test") for label in order[:n_test]}
    places |= {label: Place("val") for label in order[n_test : n_test + n_val]}
    remaining = order[n_test + n_val :]
    places |= {label: Place("train") for label in remaining[:n_train]}
    return dict(sorted(places.items()))


def seeded_order(labels: Iterable[str], seed: int) -> list[str]:
    """Distinct labels in the order of sha256("seed:label")."""
    return sorted(
        set(labels),
        key=lambda label: (hashlib.sha256(f"{seed}:{label}".encode()).hexdigest(), label),
    )


def read_tsv(path: Path) -> dict[str, Place]:
    """Read a table of the columns ``subject`` and ``split``, and perhaps ``fold``.

    Whoever has a fold is stored for training, as `assign` does it: the reader picks the fold to
    test on. Whoever has none is outside the folds.

    Raises:
        BadInputError: It cannot be read or lacks a column; or all lines that have a fault, with it.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, dialect="excel-tab")
            columns, lines = rows.fieldnames, [(rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(
            f"cannot be read as a table ({error})", path=path, remedy="Check --split"
        ) from None
    if not {"subject", "split"} <= set(columns or ()):
        raise BadInputError(
            f"needs the tab-separated columns subject and split, got {columns}",
            path=path,
            remedy="Write such a table; split.tsv of slices that were dealt one by one is none",
        )
    places: dict[str, Place] = {}
    faults: list[str] = []
    for number, row in lines:
        subject = row.get("subject") or ""
        split, fold = ((row.get(key) or "").strip() for key in ("split", "fold"))
        found = list(_line_faults(subject, split, fold))
        if not found:
            place = Place("train", int(fold)) if fold else Place(cast(Split, split))
            if places.setdefault(subject, place) != place:
                found = [f"puts subject {subject} in another split than before"]
        faults += [f"line {number} {fault}" for fault in found]
    if faults:
        raise BadInputError(
            f"has lines that cannot be used:{listed(faults, 50)}\n",
            path=path,
            remedy=f"Give each subject one line, with one of {', '.join(SPLITS)}",
        )
    if not places:
        raise BadInputError("has no lines", path=path, remedy="Give every subject a line")
    return places


def write_tsv(places: Mapping[str, Place]) -> str:
    """The text of a split table: one line per subject, sorted; `read_tsv` reads it."""
    folds = any(place.fold is not None for place in places.values())
    rows = [("subject", "split", "fold"), *((s, *place) for s, place in sorted(places.items()))]
    return "".join(_line(row if folds else row[:2]) for row in rows)


def lookup(labels: Iterable[str], table: Mapping[str, Place], path: Path) -> dict[str, Place]:
    """The places of the subjects that were found, by the user's table.

    Spaces around a subject, and how its accents are written, count only where another line has the
    subject as it is called.

    Raises:
        BadInputError: The table lacks a subject or a fold, or has several places for one.
    """
    wanted = sorted(set(labels))
    stripped: dict[str, set[Place]] = {}
    for subject, place in table.items():
        stripped.setdefault(one_spelling(subject).strip(), set()).add(place)
    for label in wanted:
        if label not in table and len(stripped.get(label, ())) > 1:
            raise BadInputError(
                f"puts subject {label} in several splits, by lines that differ in spaces or in how "
                "accents are written",
                path=path,
                remedy="Give each subject one line",
            )
    table = {subject: next(iter(places)) for subject, places in stripped.items()} | dict(table)
    missing = [label for label in wanted if label not in table]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise BadInputError(
            f"has no line for {len(missing)} of the {len(wanted)} subjects found: {shown}",
            path=path,
            remedy="Add them, or leave their scans out",
        )
    places = {label: table[label] for label in wanted}
    folds = {place.fold for place in places.values() if place.fold is not None}
    always = any(place.fold is None and place.split == "train" for place in places.values())
    if folds and folds != set(range(max(1 if always else 2, len(folds)))):
        raise BadInputError(
            f"gives the subjects found the folds {', '.join(map(str, sorted(folds)))}",
            path=path,
            remedy="Count them from 0 without gaps, and have at least two, or one and subjects "
            "that train without a fold",
        )
    return places


def _counts(total: int, rule: SplitRule) -> tuple[int, int, int]:
    """How many are dealt to test, validation and training."""
    # Without an explicit 100 %, somebody stays for training.
    spare = 0 if rule.test_fraction + rule.val_fraction > 1 - 1e-9 or total < 2 else 1
    n_test, n_val = rule.test_count, rule.val_count
    by_fraction = []
    if n_test is None:
        n_test = min(_share(rule.test_fraction, total), total - spare)
        by_fraction.append(n_test)
    if n_val is None:
        n_val = max(min(_share(rule.val_fraction, total), total - spare - n_test), 0)
        by_fraction.append(n_val)
    least = rule.train_count
    if least is None:
        least = spare if any(by_fraction) else 0
    if n_test + n_val + least > total:
        raise ConfigError(
            f"{least} for training, {n_val} for validation and {n_test} for test are more than "
            f"the {total} there are",
            remedy="Ask for fewer; without --test-count and --val-count, fractions are taken, "
            "which may be 0",
        )
    return n_test, n_val, total - n_test - n_val if rule.train_count is None else rule.train_count


def _share(fraction: float, total: int) -> int:
    """The nearest whole number, halves upwards, but never none where some are asked for."""
    if fraction == 0 or (fraction < 1 and total < 2):
        return 0
    return max(1, math.floor(fraction * total + 0.5 + 1e-9))


def _line(cells: Iterable[object]) -> str:
    """A line of a table, with quotes around what holds a tab, a line break or a quote."""
    buffer = io.StringIO(newline="")  # with csv's own line end, for which it also quotes \r
    csv.writer(buffer, dialect="excel-tab").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _line_faults(subject: str, split: str, fold: str) -> Iterator[str]:
    """What is wrong with a line of a table, a clause each."""
    if not subject:
        yield "has no subject"
    if split not in SPLITS:
        yield f"has the split {split!r}"
    if fold and not fold.isdecimal():
        yield f"has the fold {fold!r}, expected a number"
