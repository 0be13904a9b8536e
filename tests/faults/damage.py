"""What can happen to a file, and what an attempt to use it then came to."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.errors import SrmriError

Use = Callable[[], bytes]


def flip(content: bytearray, rng: random.Random) -> None:
    """Change one bit."""
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def cut(content: bytearray, rng: random.Random) -> None:
    """Lose the end."""
    del content[rng.randrange(len(content) + 1) :]


def blank(content: bytearray, rng: random.Random) -> None:
    """Zero up to 64 bytes, as a lost block reads."""
    start = rng.randrange(len(content) + 1)
    end = min(start + 64, len(content))
    content[start:end] = bytes(end - start)


def repeat(content: bytearray, rng: random.Random) -> None:
    """Have a part twice."""
    start = rng.randrange(len(content) + 1)
    content[start:start] = content[start : start + 64]


def edit(content: bytearray, rng: random.Random) -> None:
    """Type over a digit, as a person does."""
    digits = [place for place, byte in enumerate(content) if 48 <= byte < 58]
    if digits:
        place = rng.choice(digits)
        content[place] = 48 + (content[place] - 48 + rng.randrange(1, 10)) % 10


@dataclass
class Row:
    """What a kind of fault came to.

    Args:
        name: Of the kind.
        found: How often it was refused, had no effect, changed the result, or was not caught.
        unexpected: What should not have been, a line each.
    """

    name: str
    found: Counter = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)


def campaign(
    name: str,
    files: Sequence[Path],
    use: Use,
    kinds: Sequence[Callable[[bytearray, random.Random], None]],
    tries: int,
    *,
    another_is_fine: bool = False,
) -> Row:
    """Damage one of some files again and again, and use it each time.

    Args:
        name: Of the row.
        files: One of them is damaged, and then restored.
        use: Gives a digest of what a user would get.
        kinds: Of damage.
        tries: How often.
        another_is_fine: The files carry no checksum, so that a change can be another valid file.
    """
    rng, row, whole = random.Random(0), Row(name), use()
    for attempt in range(tries):
        file, damage = rng.choice(files), rng.choice(kinds)
        before = file.read_bytes()
        content = bytearray(before)
        damage(content, rng)
        file.write_bytes(content)
        try:
            outcome = "no effect" if use() == whole else "another result"
        except SrmriError:
            outcome = "refused"
        except BaseException as error:  # the kind of thing that this looks for
            outcome = "not caught"
            row.unexpected.append(f"{file.name}, try {attempt}: {type(error).__name__}: {error}")
        finally:
            file.write_bytes(before)
        if outcome == "another result" and not another_is_fine:
            row.unexpected.append(f"{file.name}, try {attempt}: {damage.__name__} was believed")
        row.found[outcome] += 1
    return row


def digest(*parts: object) -> bytes:
    """Of arrays and of what prints the same."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return found.digest()


def digest_of(folder: Path, pattern: str = "*") -> bytes:
    """Of the files of a folder, their names included."""
    paths = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return digest(*[(path.name, path.read_bytes()) for path in paths if path.name[0] != "."])
