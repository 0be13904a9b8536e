"""Gzip, decompressed completely, checksums and all, but never beyond a limit."""

import gzip
import io
import zlib
from pathlib import Path
from typing import IO, cast

from isal import igzip, isal_zlib

from data_prep.errors import BadInputError

MAGIC = b"\x1f\x8b"
_ERROR = cast(type[Exception], isal_zlib.error)  # its stub says instance, not class
GZIP = 31  # zlib's window bits for a gzip member with header and CRC
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, _ERROR)
"""What reading from `opened` raises where a file is damaged."""
_FETCH = "Fetch or compress the file again"
_CHUNK = 1 << 20


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, whatever its name."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def opened(path: Path) -> IO[bytes]:
    """A file's content as a stream, unpacked if it is compressed."""
    return cast(IO[bytes], igzip.open(path, "rb")) if is_packed(path) else path.open("rb")


def length(path: Path) -> int:
    """Length in bytes, modulo 2^32, of what a file holds once unpacked.

    Of a compressed file its end says so; that of several members tells the last one's.
    """
    return _trailer(path)[1] if is_packed(path) else path.stat().st_size % (1 << 32)


def crc(path: Path) -> int:
    """CRC-32 of what a file holds once unpacked; of a compressed file as `length` is."""
    if is_packed(path):
        return _trailer(path)[0]
    found = 0
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            found = isal_zlib.crc32(block, found)
    return found


def _trailer(path: Path) -> tuple[int, int]:
    """The last eight bytes of a gzip file: checksum and length."""
    with path.open("rb") as file:
        file.seek(-min(8, path.stat().st_size), 2)
        end = file.read()
    return int.from_bytes(end[:4], "little"), int.from_bytes(end[4:], "little")


def head(packed: bytes, length: int, path: Path) -> bytes:
    """The first ``length`` bytes of a gzip file, or all of them where it is shorter.

    Args:
        packed: How the file begins; it may end within a member.
        length: Number of bytes wanted; they may lie in several members.
        path: Named in errors.

    Raises:
        BadInputError: The file is damaged before that.
    """
    found, rest = b"", packed
    try:
        while len(found) < length and rest.startswith(MAGIC):
            member = isal_zlib.decompressobj(wbits=GZIP)
            found += member.decompress(rest, length - len(found))
            rest = member.unused_data.lstrip(b"\0")  # empty unless the member has ended
    except _ERROR as error:
        raise _damaged(error, path) from None
    return found


def unpack(packed: bytes, expected: int, slack: int, path: Path) -> bytes:
    """Decompress a whole gzip file of one or more members, and check their checksums.

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
    room = expected + slack + 1
    try:
        with igzip.IGzipFile(fileobj=io.BytesIO(packed), mode="rb") as file:
            whole = file.read(room)
    except EOFError:
        raise BadInputError(
            "ends in the middle of its gzip data", path=path, remedy=_FETCH
        ) from None
    except gzip.BadGzipFile as error:
        if "Not a gzipped file" not in str(error):
            raise _damaged(error, path) from None
        raise BadInputError(
            "has bytes that are not gzip data at its end", path=path, remedy=_FETCH
        ) from None
    except _ERROR as error:
        raise _damaged(error, path) from None
    if len(whole) == room:
        raise BadInputError(
            f"unpacks to more than the {expected} bytes its header promises",
            path=path,
            remedy="Its header or its data is damaged; export the scan again",
        )
    return whole if len(whole) <= expected else whole[:expected]


def _damaged(error: Exception, path: Path) -> BadInputError:
    return BadInputError(f"has damaged gzip data ({error})", path=path, remedy=_FETCH)
