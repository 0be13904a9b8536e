"""Take chosen files out of a tar archive, and write nothing anywhere else.

Which files are written, and under which names, is decided here and never by the archive. Only
regular files come out.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from data_prep import files
from data_prep.errors import BadInputError, CorruptArtefactError
from data_prep.progress import Reporter


def extract(
    archive: Path,
    folder: Path,
    choose: Callable[[str], str | None],
    report: Reporter | None = None,
) -> list[Path]:
    """Write the chosen regular files of an archive into ``folder``, replacing what is there.

    Args:
        archive: A tar file, compressed or not.
        folder: Where the files go.
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
    with _open(archive) as tar:
        length = archive.stat().st_size
        for member in tar:
            name = choose(member.name)
            if name is None:
                continue
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts or not member.isreg():
                raise CorruptArtefactError(
                    f"holds {member.name!r}, which is not a regular file inside the archive's "
                    "folder",
                    path=archive,
                    remedy="Do not use this archive",
                )
            target = Path(folder) / name
            with files.atomic_file(target) as temporary:
                renamed = member.replace(name=temporary.name)
                tar.extract(renamed, temporary.parent, filter="data")
            written.append(target)
            if report is not None:
                report(f"unpacking {archive.name}", member.offset_data + member.size, length)
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
