"""Resumable HTTP downloads that are never taken for complete before they are.

The bytes so far lie in a hidden ``.part`` file beside the target, with a note of the server's
validator (ETag or Last-Modified) and the whole length. A later call continues from there if the
server confirms that its file is still the same one, and starts again if not.
"""

import contextlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from data_prep import files
from data_prep.download.network import cause, new_session, shown
from data_prep.errors import CorruptArtefactError, EnvironmentFault
from data_prep.files import has_digest
from data_prep.progress import Reporter

CHUNK = 1 << 16
ATTEMPTS = 5
TIMEOUT = (10.0, 60.0)


@dataclass(frozen=True)
class Expected:
    """What is known of a file before it is downloaded.

    Args:
        digest: Hexadecimal SHA-256 or MD5 of the whole file (told apart by length), or empty.
        size: Length in bytes, or None.
        room: Free disk space needed, as a multiple of the file's length.
    """

    digest: str = ""
    size: int | None = None
    room: float = 1.0


class _Restart(Exception):  # noqa: N818  # not a fault: the file on the server is another one
    """What was downloaded so far does not belong to what the server has now."""


class _TryAgain(Exception):  # noqa: N818
    """The transfer broke off or the server is busy; the bytes so far are kept."""


def fetch(
    url: str,
    path: Path,
    expected: Expected = Expected(),
    *,
    session: requests.Session | None = None,
    report: Reporter | None = None,
    attempts: int = ATTEMPTS,
    pause: float = 1.0,
) -> Path:
    """Download ``url`` to ``path``, continuing an interrupted download if there is one.

    Only one process may download to a path at a time: callers hold a lock.

    Args:
        url: An http, https or file URL.
        path: Where the whole file goes; it appears only once it is complete and verified.
        expected: Digest and size, as far as they are known.
        session: Session to use; a fresh one by default.
        report: Told about progress.
        attempts: How often in a row an attempt may bring nothing before giving up.
        pause: Seconds before the second attempt; doubles each time.

    Raises:
        EnvironmentFault: No network, no such file, not enough disk, or the server keeps failing.
        CorruptArtefactError: The complete file does not have the expected digest or size.
    """
    transfer = _Transfer(url, Path(path), expected, session or new_session(), report)
    failures = 0
    with files.disk_errors(transfer.part):
        transfer.part.parent.mkdir(parents=True, exist_ok=True)
    while True:
        before = transfer.have()
        try:
            transfer.run()
            break
        except _Restart as reason:
            transfer.discard()
            failures += 1
            fault = str(reason)
        except _TryAgain as reason:
            # An attempt that moved forward does not count: a long download may be cut often.
            failures = 0 if transfer.have() > before else failures + 1
            fault = str(reason)
        # Nothing at all so far means no network rather than a bad one: do not keep anyone waiting.
        if failures >= (attempts if transfer.have() else min(attempts, 2)):
            raise EnvironmentFault(
                f"{shown(url)} cannot be downloaded: {fault}",
                remedy="Check the network; the same command continues where this one stopped",
            )
        time.sleep(min(pause * 2 ** max(failures - 1, 0), 30.0))
    return transfer.finish()


class _Transfer:
    """One download in progress: its part file, its note, and the requests that extend it."""

    def __init__(
        self,
        url: str,
        path: Path,
        expected: Expected,
        session: requests.Session,
        report: Reporter | None,
    ) -> None:
        self.url = url
        self.path = path
        self.expected = expected
        self.session = session
        self.report = report
        # A file whose name begins with a dot goes on with what was downloaded of one without.
        hidden = f".{path.name.lstrip('.')}.part"
        self.part = path.with_name(hidden)
        self.note = path.with_name(f"{hidden}.json")

    def have(self) -> int:
        """Bytes downloaded so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        """Forget what was downloaded so far."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def run(self) -> None:
        """Make one request and take in what it brings; returns once the part file is whole."""
        known = self._read_note()
        if not known:
            self.discard()
        offset = self.have()
        if offset and offset == known.get("size"):
            return
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": known["validator"]}
        with (
            self._network_errors(),
            self.session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT) as reply,
        ):
            self._take(reply, offset, known)

    def finish(self) -> Path:
        """Check the whole file and move it to its place."""
        with files.disk_errors(self.path):
            if self.expected.digest and not has_digest(self.part, self.expected.digest):
                self.discard()
                raise CorruptArtefactError(
                    f"{shown(self.url)} was downloaded whole, but its checksum is not the expected "
                    f"{self.expected.digest[:12]}...",
                    remedy="The server has another file under this name; do not use it",
                )
            with self.part.open("rb") as stream:
                os.fsync(stream.fileno())
            self.part.replace(self.path)
            self.note.unlink(missing_ok=True)
        return self.path

    def _take(self, reply: requests.Response, offset: int, known: dict[str, Any]) -> None:
        total: int | None
        self._refuse_errors(reply, offset)
        if reply.status_code == 206:
            total = self._continued_size(reply, offset, known)
        else:
            offset, total = 0, self._whole_size(reply)
            # Before the new note: the old bytes must never be continued under it.
            self.discard()
        self._check_size_and_room(total, offset)
        self._write_note(reply, total, known if offset else {})
        with files.disk_errors(self.part), self.part.open("ab") as stream:
            for chunk in self._chunks(reply):
                offset += len(chunk)
                if total is not None and offset > total:
                    raise _Restart(f"the server sent more than the {total} bytes it announced")
                stream.write(chunk)
                if self.report is not None:
                    self.report(self.path.name, offset, total)
        if total is not None and offset != total:
            raise _TryAgain(f"the connection was cut after {offset} of {total} bytes")

    def _chunks(self, reply: requests.Response) -> Iterator[bytes]:
        # requests' errors are OSErrors: translated here, they are not taken for the disk's.
        with self._network_errors():
            yield from reply.iter_content(CHUNK)

    @contextlib.contextmanager
    def _network_errors(self) -> Iterator[None]:
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise EnvironmentFault(
                f"{shown(self.url)} cannot be downloaded: {cause(error)}",
                remedy="Check the certificates and the proxy settings",
            ) from error
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            raise _TryAgain(cause(error)) from error
        except requests.RequestException as error:
            raise EnvironmentFault(
                f"{shown(self.url)} cannot be downloaded: {cause(error)}",
                remedy="Check the address and the proxy settings",
            ) from error

    def _refuse_errors(self, reply: requests.Response, offset: int) -> None:
        status = reply.status_code
        if status == 416:
            raise _Restart(f"the server has nothing from byte {offset} on")
        if status == 206 and not offset:
            raise _Restart("the server sent a part, though the whole was asked for")
        if status in (408, 425, 429) or status >= 500:
            raise _TryAgain(f"the server answered {status} {reply.reason}")
        if status not in (200, 206):
            raise EnvironmentFault(
                f"{shown(self.url)} cannot be downloaded: the server answered {status} "
                f"{reply.reason}",
                remedy="Check that the address still exists",
            )

    def _continued_size(self, reply: requests.Response, offset: int, known: dict) -> int:
        """Whole length from ``Content-Range``, which must continue exactly what there is."""
        stated = reply.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", stated.strip())
        if match is None:
            raise _Restart(f"the server sent a part without saying which ({stated!r})")
        first, last, total = (int(group) for group in match.groups())
        if first != offset or last != total - 1 or total != known["size"]:
            raise _Restart(f"the server sent {stated!r}, but bytes {offset}- were asked for")
        if _validator(reply) not in ("", known["validator"]):
            raise _Restart("the file on the server has changed")
        return total

    def _whole_size(self, reply: requests.Response) -> int | None:
        length = reply.headers.get("Content-Length", "")
        if length.isdigit():
            return int(length)
        chunked = reply.headers.get("Transfer-Encoding", "").lower() == "chunked"
        if chunked or self.expected.digest:
            return None
        raise EnvironmentFault(
            f"{shown(self.url)} cannot be downloaded safely: the server does not say how long the "
            "file is, so a cut connection could not be told from its end",
            remedy="Use another server, or fetch it another way",
        )

    def _check_size_and_room(self, total: int | None, offset: int) -> None:
        wanted = self.expected.size
        if total is not None and wanted is not None and total != wanted:
            raise CorruptArtefactError(
                f"{shown(self.url)} is {total} bytes long, but {wanted} were expected",
                remedy="The server has another file under this name; do not use it",
            )
        need = int((total or wanted or 0) * self.expected.room) - offset
        free = shutil.disk_usage(self.part.parent).free
        if need > free:
            raise EnvironmentFault(
                f"needs {need / 1e9:.2f} GB of free disk space, but has {free / 1e9:.2f} GB",
                path=self.path.parent,
                remedy="Free some space or choose another folder, then run the same command again",
            )

    def _read_note(self) -> dict[str, Any]:
        """What is known of the part file; empty if it cannot be continued."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        usable = (
            isinstance(note, dict)
            and note.get("url") == self.url
            and isinstance(note.get("validator"), str)
            and isinstance(note.get("size"), int)
            and self.have() <= note["size"]
        )
        return note if usable else {}

    def _write_note(self, reply: requests.Response, total: int | None, known: dict) -> None:
        validator = _validator(reply) or known.get("validator", "")
        if validator and total is not None:
            note = {"url": self.url, "validator": validator, "size": total}
            files.write_text(self.note, json.dumps(note))
        else:
            self.note.unlink(missing_ok=True)


def _validator(reply: requests.Response) -> str:
    """The strong ETag, else Last-Modified, else nothing (RFC 9110, 13.1.5)."""
    tag = reply.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return reply.headers.get("Last-Modified", "")
