"""Files and folders that are either whole or absent: write beside, fsync, rename; checksums.

A disk that fills up or refuses raises one kind of error, and leaves what was there before.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep.errors import BadInputError, ConfigError, EnvironmentFault

_TEMPORARY = ".srmri-tf-tmp-"
_ASIDE = ".srmri-tf-old-"
_LONG = 24 * 3600  # seconds
_SUFFIX = 16  # characters of a name's end
_DIGITS = 16  # of a hash
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")
LOCK = ".srmri-tf-lock"
SEAL = "sha256"
_HINTS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENAMETOOLONG: "its name is too long for the file system",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn any OSError met while writing ``path`` into one EnvironmentFault."""
    try:
        yield
    except OSError as error:
        reason = _HINTS.get(error.errno or 0, error.strerror or str(error))
        raise EnvironmentFault(
            f"cannot be written: {reason}",
            path=path,
            remedy="Free some space or choose another folder, then run the same command again",
        ) from error


@contextlib.contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is fsynced and becomes ``path``.

    Args:
        path: The file to make or to replace.
        sync: Without, a killed process still leaves no half-written file, but a power cut may:
            call `sync_to_disk` before anything relies on it.

    Raises:
        ConfigError: There is a folder of that name.
        EnvironmentFault: The disk is full or the folder cannot be written.
    """
    path = Path(path)
    with disk_errors(path):
        if path.is_dir():
            raise ConfigError("is a folder, not a file", path=path, remedy="Choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        # Keeps the suffixes, by which writers such as nibabel choose the format, and no more of a
        # name that may be as long as the file system allows.
        suffix = "".join(path.suffixes[-2:])[-_SUFFIX:]
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=own_prefix(), suffix=f"-{suffix}")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            if sync:
                _fsync(temporary)
            temporary.replace(path)
            if sync:
                _fsync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync_to_disk(folder: Path, names: Iterable[str]) -> None:
    """Wait until files of a folder, and the folder's list of them, are safe on the disk.

    Raises:
        EnvironmentFault: The disk is full or the files have gone away.
    """
    with disk_errors(folder):
        for name in names:
            _fsync(folder / name)
        _fsync(folder)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a whole UTF-8 text file, or leave the old one."""
    with atomic_file(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it takes the place of ``path``.

    An existing folder is moved aside first and removed after. A crash in between leaves it aside,
    from where `recover` takes it back. `refuse_to_replace` tells beforehand whether that can be.

    Raises:
        EnvironmentFault: The disk is full or the folder cannot be written.
    """
    path = Path(path).resolve()
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=own_prefix()))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for child in temporary.rglob("*"):
                _fsync(child)
            _fsync(temporary)
            _swap(temporary, path)
            _fsync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def lock(folder: Path, name: str = "") -> Iterator[None]:
    """Hold ``folder``, or one file in it, for this process; a second one is refused.

    Freed even by a kill. What killed writes left in the folder is cleared at once.

    Args:
        folder: Made if it is not there.
        name: The file; then what holds it leaves nothing in the folder, and a file system that does
            not lock files is no reason to refuse.

    Raises:
        BadInputError: Another process holds it.
        EnvironmentFault: The folder cannot be written.
    """
    folder = Path(folder)
    key = f"{LOCK}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:_DIGITS]}" if name else LOCK
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _locked(folder / key, folder / name, must=not name)
    try:
        clear(folder)
        yield
    finally:
        if name:
            (folder / key).unlink(missing_ok=True)
        os.close(handle)


def _locked(file: Path, held: Path, *, must: bool) -> int:
    """An open file that this process has locked.

    Args:
        file: Made if it is not there; whoever held it may remove it.
        held: What it stands for, named in errors.
        must: Refuse a file system that does not lock files; else nothing is locked there.
    """
    while True:
        try:
            handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o666)
        except PermissionError:
            handle = os.open(file, os.O_RDONLY)  # a colleague's, which can be locked all the same
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise BadInputError(
                "is in use by another process",
                path=held,
                remedy="Wait for it to end, or choose another folder",
            ) from None
        except OSError as error:
            if not must:
                return handle
            os.close(handle)
            raise EnvironmentFault(
                f"cannot be locked against a second process ({error.strerror}): its file system "
                "does not lock files",
                path=held,
                remedy="Choose a folder on another file system",
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == file.stat().st_ino:
                return handle
        os.close(handle)  # of a file that has been removed since


def clear(folder: Path) -> None:
    """Remove what killed writes left in a folder; what living processes write stays.

    Raises:
        EnvironmentFault: It cannot be removed.
    """
    with disk_errors(folder):
        for leftover in abandoned(folder, _TEMPORARY):
            _remove(leftover)


def recover(path: Path) -> None:
    """Undo what killed processes left beside ``path``.

    A folder that one had moved aside to replace it comes back if there is no new one. What was half
    written goes, whatever it was to be. What belongs to somebody else, in a folder of all, stays.
    """
    for leftover in abandoned(path.parent, _ASIDE, _TEMPORARY):
        with contextlib.suppress(OSError):  # also: another process is just doing the same
            if leftover.name.startswith(_TEMPORARY):
                _remove(leftover)
            else:
                _take_back(path, leftover)


def _take_back(path: Path, aside: Path) -> None:
    """Rename a folder that was moved aside, unless there is a new one; not if it was another's."""
    old = aside / path.name
    if old.exists():
        if not path.exists():
            old.rename(path)
        _remove(aside)
    elif not any(aside.iterdir()):
        aside.rmdir()


def longest_name(folder: Path) -> int:
    """The number of bytes that a name in a folder may have; the folder need not be there yet."""
    place = folder.absolute()
    there = next(above for above in (place, *place.parents) if above.exists())
    try:
        return os.pathconf(there, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def is_scratch(path: Path) -> bool:
    """Whether a path is named as locks, and files and folders that are being written, are."""
    return path.name.startswith((LOCK, _TEMPORARY, _ASIDE))


def own_prefix(kind: str = _TEMPORARY) -> str:
    """How names of what this process writes begin; `abandoned` finds them after a kill.

    Args:
        kind: How names of this kind begin, whoever writes them.
    """
    return f"{kind}{_here()}-{os.getpid()}-"


def abandoned(folder: Path, *kinds: str) -> list[Path]:
    """What killed processes left in a folder.

    Args:
        folder: It need not be there.
        kinds: As `own_prefix` takes them.

    Returns:
        The sorted paths of what a process has named that is dead; also of what was named on another
        machine, before the last start of this one or by an older version, and has not changed for
        a day.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:  # once, and quickly: every write looks
        found = sorted(Path(entry) for entry in entries if entry.name.startswith(kinds))
    return [path for path in found if _is_abandoned(path, kinds)]


def _here() -> str:
    """A hash that stands for this machine, as processes are numbered here.

    Machines and containers may share a host name, and then number their processes alike: they
    differ in their last start or in the namespace of process numbers.
    """
    parts = [os.fsencode(socket.gethostname())]
    with contextlib.suppress(OSError):  # Linux has one
        parts.append(_BOOT.read_bytes())
    with contextlib.suppress(OSError):
        parts.append(bytes(_PROCESSES.readlink()))
    return hashlib.sha256(b"\n".join(parts)).hexdigest()[:_DIGITS]


def _remove(leftover: Path) -> None:
    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def _is_abandoned(leftover: Path, kinds: tuple[str, ...]) -> bool:
    """Whether its process is dead or, on another machine, has not touched it for long."""
    match = re.match(f"(?:{'|'.join(map(re.escape, kinds))}){_here()}-(\\d+)-", leftover.name)
    try:
        if match is None:
            return time.time() - leftover.stat().st_mtime > _LONG
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's process, or it has just gone
        return False
    return False


def _swap(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=own_prefix(_ASIDE)))
    old = aside / path.name
    try:
        path.rename(old)
        new.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refuse_foreign(folder: Path, what: str, *markers: str) -> None:
    """Refuse an output folder that already holds something else.

    Args:
        folder: The output folder; absent, empty or one of ours is fine.
        what: What the folder should be, for the message: "a training run".
        markers: Names of files, any of which makes the folder ours.

    Raises:
        ConfigError: The folder is a file, or holds something else.
    """
    folder = Path(folder)
    remedy = "Choose another folder for -o"
    if folder.exists() and not folder.is_dir():
        raise ConfigError("is a file, not a folder", path=folder, remedy=remedy)
    if not folder.is_dir() or any((folder / marker).exists() for marker in markers):
        return
    # Dot files are left alone.
    others = [child.name for child in folder.iterdir() if not child.name.startswith(".")]
    if others:
        raise ConfigError(
            f"already holds something that is not {what}, such as {min(others)}",
            path=folder,
            remedy=remedy,
        )


def refuse_to_replace(folder: Path, what: str, holds: Collection[str]) -> None:
    """Refuse an output folder that `atomic_folder` could not replace, or not without loss.

    Args:
        folder: The output folder; absent, empty or one of ours is fine.
        what: What the folder should be, for the message: "an evaluation".
        holds: Names of all that such a folder ever holds.

    Raises:
        ConfigError: The folder is a file, holds something else, or cannot be renamed.
        EnvironmentFault: The folder that it lies in cannot be written.
    """
    remedy = "Choose another folder for -o"
    place = Path(folder).resolve()
    if place.exists() and not place.is_dir():
        raise ConfigError("is a file, not a folder", path=folder, remedy=remedy)
    if place == Path.cwd() or place.is_mount():
        raise ConfigError(
            "cannot be replaced as a whole: programs run in it, or it is a disk of its own",
            path=folder,
            remedy="Choose a folder in it for -o",
        )
    children = list(place.iterdir()) if place.is_dir() else []
    if others := [c.name for c in children if c.name not in holds and not is_scratch(c)]:
        raise ConfigError(
            f"already holds something that is not of {what}, such as {min(others)}",
            path=folder,
            remedy=remedy,
        )
    above = next(parent for parent in place.parents if parent.exists())
    if not os.access(above, os.W_OK):
        raise EnvironmentFault("cannot be written: permission denied", path=folder, remedy=remedy)


def plain(tree: Any) -> Any:
    """The same tree as JSON can hold it: paths as text, null for infinity and NaN."""
    if isinstance(tree, Mapping):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        return None
    return str(tree) if isinstance(tree, Path) else tree


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the SHA-256 of everything else in it, under ``sha256``."""
    content = {key: value for key, value in document.items() if key != SEAL}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return {**content, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def is_as_sealed(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is what was sealed, or never was."""
    return SEAL not in document or sealed(document) == document


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    return _digest(path, "sha256")


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file has a hexadecimal SHA-256 or MD5 digest (told apart by length)."""
    return _digest(path, "md5" if len(digest) == 32 else "sha256") == digest.lower()


def _digest(path: Path, kind: str) -> str:
    with Path(path).open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
    return found.hexdigest()
