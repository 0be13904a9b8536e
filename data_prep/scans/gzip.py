"""Gzip, decompressed completely, checksum and all, but never beyond a limit."""

from pathlib import Path
from typing import cast

from isal import isal_zlib

from data_prep.errors import BadInputError

MAGIC = b"\x1f\x8b"
_ERROR = cast(type[Exception], isal_zlib.error)  # its stub says instance, not class
GZIP = 31  # zlib's window bits for a gzip member with header and CRC
_CHUNK = 1 << 20
_FETCH = "Fetch or compress the file again"


def head(packed: bytes, length: int, path: Path) -> bytes:
    """The first ``length`` bytes of a gzip stream, or all of it where it is shorter.

    Raises:
        BadInputError: The stream is damaged before that.
    """
    try:
        return isal_zlib.decompressobj(wbits=GZIP).decompress(packed, length)
    except _ERROR as error:
        raise _damaged(error, path) from None


def unpack(packed: bytes, expected: int, slack: int, path: Path) -> bytes:
    """Decompress a whole gzip file of one or more members, and check its checksums.

    Args:
        packed: The gzip file.
        expected: Number of bytes it should hold.
        slack: Number of bytes it may hold beyond that; they are read and dropped.
        path: Named in errors.

    Returns:
        ``expected`` bytes, or fewer where the file holds fewer.

    Raises:
        BadInputError: Damaged, cut off, followed by something else, or longer than allowed.
    """
    parts: list[bytes] = []
    room = expected + slack + 1
    rest = packed
    while rest.startswith(MAGIC):
        member = isal_zlib.decompressobj(wbits=GZIP)
        try:
            while not member.eof:
                part = member.decompress(rest, room)
                parts.append(part)
                room -= len(part)
                if room == 0:
                    raise BadInputError(
                        f"unpacks to more than the {expected} bytes its header promises",
                        path=path,
                        remedy="Its header or its data is damaged; export the scan again",
                    )
                rest = member.unconsumed_tail
                if not part and not rest:
                    break
        except _ERROR as error:
            raise _damaged(error, path) from None
        if not member.eof:
            raise BadInputError("ends in the middle of its gzip data", path=path, remedy=_FETCH)
        rest = member.unused_data
    if rest.strip(b"\0"):
        raise BadInputError(
            f"has {len(rest)} bytes that are not gzip data at its end", path=path, remedy=_FETCH
        )
    whole = parts[0] if len(parts) == 1 else b"".join(parts)
    return whole if len(whole) <= expected else whole[:expected]


def _damaged(error: Exception, path: Path) -> BadInputError:
    return BadInputError(f"has damaged gzip data ({error})", path=path, remedy=_FETCH)
