"""One hash-pinned source package from the index the user's own pip is set up for.

``pip download`` would do, but for a source package it runs that package's ``setup.py``. Here the
file is only looked up, fetched and checked: nothing in it is ever executed.
"""

import ast
import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pooch
import pypi_simple
import requests

from data_prep import files
from data_prep.download.http import Expected, fetch
from data_prep.download.network import LocalFiles, cause, local_path, new_session, shown
from data_prep.errors import BadInputError, EnvironmentFault
from data_prep.files import has_digest
from data_prep.progress import Reporter

PIP_SECONDS = 30
LOCK_SECONDS = 600


@dataclass(frozen=True)
class Sdist:
    """A source package, pinned.

    Args:
        project: Name on the index.
        version: Version.
        sha256: SHA-256 of the file.
        size: Length in bytes.
    """

    project: str
    version: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """The file's normalised name."""
        return f"{re.sub(r'[-_.]+', '_', self.project).lower()}-{self.version}.tar.gz"


@dataclass(frozen=True)
class IndexSettings:
    """Where pip looks for packages and how it connects.

    Args:
        indexes: Simple-index URLs, the first one first.
        folders: Local folders that may hold the file itself.
        ca_bundle: Certificate bundle, or empty.
        client_cert: Client certificate, or empty.
        proxy: Proxy URL, or empty.
        timeout: Seconds without an answer.
        trusted_hosts: Hosts whose certificate is not checked.
    """

    indexes: tuple[str, ...]
    folders: tuple[Path, ...] = ()
    ca_bundle: str = ""
    client_cert: str = ""
    proxy: str = ""
    timeout: float = 15.0
    trusted_hosts: tuple[str, ...] = ()


def cache_folder() -> Path:
    """Where downloads are kept: ``SRMRI_TF_CACHE``, or the system's cache folder."""
    chosen = os.environ.get("SRMRI_TF_CACHE", "")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("srmri_tf"))


def fetch_sdist(
    sdist: Sdist, *, report: Reporter | None = None, settings: IndexSettings | None = None
) -> Path:
    """Return the path of the whole, verified source package, downloading it if it is not cached.

    Args:
        sdist: What to fetch.
        report: Told about progress.
        settings: Where from; pip's own settings by default.

    Raises:
        EnvironmentFault: No index has it or can be reached, or the disk is full.
        CorruptArtefactError: An index sent a file with another hash.
    """
    path = cache_folder() / sdist.file
    if is_whole(path, sdist):
        return path
    with hold(path):
        if is_whole(path, sdist):
            return path
        settings = settings or read_settings()
        local = _in_folders(sdist, settings.folders)
        if local is not None:
            with files.atomic_file(path) as temporary:
                shutil.copyfile(local, temporary)
            return path
        with _session(settings) as session:
            url = _look_up(sdist, settings, session)
            return fetch(
                url, path, Expected(sdist.sha256, sdist.size), session=session, report=report
            )


def is_whole(path: Path, sdist: Sdist) -> bool:
    """Whether ``path`` is that package, by length and hash."""
    return path.is_file() and path.stat().st_size == sdist.size and has_digest(path, sdist.sha256)


@contextlib.contextmanager
def hold(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a cached file for this process, waiting for another one that is fetching it.

    Raises:
        EnvironmentFault: The other process does not end, or the cache cannot be written.
    """
    give_up = time.monotonic() + seconds
    folder = path.parent / ".locks" / path.name
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(files.lock(folder))
                break
            except BadInputError:
                if time.monotonic() > give_up:
                    raise EnvironmentFault(
                        "is being fetched by another process, which does not end",
                        path=path,
                        remedy="Stop that one, then run the same command again",
                    ) from None
                time.sleep(0.2)
        yield


def read_settings() -> IndexSettings:
    """Read pip's configuration files and ``PIP_*`` variables as ``pip download`` would."""
    options = _pip_options()
    indexes = [options.get("index-url", pypi_simple.PYPI_SIMPLE_ENDPOINT)]
    indexes += options.get("extra-index-url", "").split()
    if options.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        indexes = []
    links = options.get("find-links", "").split()
    seconds = options.get("timeout", options.get("default-timeout", ""))
    return IndexSettings(
        indexes=tuple(dict.fromkeys(indexes)),
        folders=tuple(local_path(link) for link in links if _is_local(link)),
        ca_bundle=options.get("cert", ""),
        client_cert=options.get("client-cert", ""),
        proxy=options.get("proxy", ""),
        timeout=min(float(seconds), 60.0) if seconds.replace(".", "", 1).isdigit() else 15.0,
        trusted_hosts=tuple(options.get("trusted-host", "").split()),
    )


def _pip_options() -> dict[str, str]:
    """Option name -> value, as pip sees them; only the ``PIP_*`` variables if there is no pip."""
    command = [sys.executable, "-m", "pip"]
    other = shutil.which("pip3") or shutil.which("pip")
    for attempt in (command, [other] if other else []):
        if not attempt:
            continue
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                [*attempt, "config", "list", "--disable-pip-version-check"],
                capture_output=True,
                text=True,
                timeout=PIP_SECONDS,
                check=True,
                stdin=subprocess.DEVNULL,
            )
            return parse_pip_config(done.stdout)
    return _pip_environment(os.environ)


def parse_pip_config(text: str) -> dict[str, str]:
    """Merge the lines of ``pip config list``: global, then download's own, then the environment."""
    options: dict[str, str] = {}
    for section in ("global", "download", ":env:"):
        for line in text.splitlines():
            name, equals, value = line.partition("=")
            if not equals or not name.startswith(f"{section}."):
                continue
            with contextlib.suppress(ValueError, SyntaxError):
                options[name.removeprefix(f"{section}.")] = str(ast.literal_eval(value))
    return options


def _pip_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith("PIP_") and value
    }


def _look_up(sdist: Sdist, settings: IndexSettings, session: requests.Session) -> str:
    """URL of the pinned file on the first index that has it."""
    reasons = []
    for index in settings.indexes:
        client = pypi_simple.PyPISimple(_as_url(index), session=session)
        try:
            page = client.get_project_page(sdist.project, timeout=settings.timeout)
        except pypi_simple.NoSuchProjectError:
            reasons.append(f"{shown(index)} does not have it")
            continue
        except (requests.RequestException, pypi_simple.UnsupportedContentTypeError) as error:
            reasons.append(f"{shown(index)}: {cause(error)}")
            continue
        for package in page.packages:
            if _is(package, sdist):
                return package.url
        reasons.append(f"{shown(index)} does not have this file")
    raise EnvironmentFault(
        f"the source package {sdist.project} {sdist.version} cannot be fetched: "
        + ("; ".join(reasons) or "pip is set to use no index"),
        remedy="Check the network and `pip config list`, or put the file there by hand as "
        f"{cache_folder() / sdist.file}",
    )


def _is(package: pypi_simple.DistributionPackage, sdist: Sdist) -> bool:
    digest = package.digests.get("sha256")
    if digest is not None:
        return digest == sdist.sha256
    # An index without hashes: the name decides what to fetch, the pinned hash whether to keep it.
    return package.package_type == "sdist" and package.version == sdist.version


def _in_folders(sdist: Sdist, folders: tuple[Path, ...]) -> Path | None:
    for folder in folders:
        for candidate in folder.glob(f"*{sdist.version}.tar.gz"):
            if is_whole(candidate, sdist):
                return candidate
    return None


@contextlib.contextmanager
def _session(settings: IndexSettings) -> Iterator[requests.Session]:
    with new_session(trusted_hosts=settings.trusted_hosts) as session:
        session.mount("file://", LocalFiles())
        if settings.ca_bundle:
            if not Path(settings.ca_bundle).exists():
                raise EnvironmentFault(
                    "is set as pip's certificate bundle, but does not exist",
                    path=settings.ca_bundle,
                    remedy="Correct `pip config` or PIP_CERT",
                )
            session.verify = settings.ca_bundle
        if settings.client_cert:
            session.cert = settings.client_cert
        if settings.proxy:
            session.proxies = {"http": settings.proxy, "https": settings.proxy}
        yield session


def _is_local(link: str) -> bool:
    return "://" not in link or link.startswith("file://")


def _as_url(index: str) -> str:
    return index if "://" in index else Path(index).expanduser().resolve().as_uri()
