"""Take chosen files out of a tar archive, and write nothing anywhere else.

`tarfile`'s own extraction is not used: which files are written, and under which names, is decided
here and never by the archive. Only regular files come out.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from data_prep import files
from data_prep.download.progress import Reporter
from data_prep.errors import BadInputError, CorruptArtefactError

CHUNK = 1 << 20


def extract(
    archive: Path,
    folder: Path,
    choose: Callable[[str], str | None],
    report: Reporter | None = None,
) -> list[Path]:
    """Write the chosen regular files of an archive into ``folder``; a second call is quick.

    Args:
        archive: A tar file, compressed or not.
        folder: Where the files go. A file that is already there with the same bytes is kept.
        choose: Maps a member's name to the file name it gets, or to None to leave it out.
        report: Told how far in the archive it is.

    Returns:
        The paths of the chosen files, in archive order.

    Raises:
        BadInputError: There is no archive.
        CorruptArtefactError: The archive is damaged, or a chosen member is not a regular file
            inside the archive's own folder.
        EnvironmentFault: The disk is full.
    """
    written = []
    length = archive.stat().st_size if archive.exists() else 0
    with _open(archive) as tar:
        for member in tar:
            name = choose(member.name)
            if name is None:
                continue
            _refuse_hostile(archive, member, name)
            target = Path(folder) / name
            stream = tar.extractfile(member)
            if stream is not None:
                _write(stream, member.size, target)
                written.append(target)
                if report is not None:
                    report(f"unpacking {archive.name}", member.offset_data + member.size, length)
    if report is not None:
        report(f"unpacking {archive.name}", length, length)
    return written


@contextmanager
def _open(archive: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(archive) as tar:
            yield tar
    except FileNotFoundError:
        raise BadInputError(
            "does not exist", path=archive, remedy="Run the same command again"
        ) from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise CorruptArtefactError(
            f"is not a whole tar archive ({error})",
            path=archive,
            remedy="Delete it and run the same command again",
        ) from None


def _refuse_hostile(archive: Path, member: tarfile.TarInfo, name: str) -> None:
    parts = PurePosixPath(member.name)
    if parts.is_absolute() or ".." in parts.parts or not member.isreg():
        raise CorruptArtefactError(
            f"holds {member.name!r}, which is not a regular file inside the archive's folder",
            path=archive,
            remedy="Do not use this archive",
        )
    if PurePosixPath(name).name != name:
        raise ValueError(f"a chosen name must be a plain file name. Received: {name!r}")


def _write(stream: IO[bytes], size: int, target: Path) -> None:
    if target.is_file() and target.stat().st_size == size and _same(stream, target):
        return
    stream.seek(0)
    with files.atomic_file(target) as temporary, temporary.open("wb") as out:
        left = size
        while left:
            chunk = stream.read(min(CHUNK, left))
            if not chunk:
                raise EOFError(f"{target.name} is cut")
            out.write(chunk)
            left -= len(chunk)


def _same(stream: IO[bytes], target: Path) -> bool:
    with target.open("rb") as other:
        while chunk := stream.read(CHUNK):
            if chunk != other.read(len(chunk)):
                return False
    return True
