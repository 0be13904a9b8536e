"""The network as the user has it: certificates, and addresses fit to print."""

import email.utils
import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

import requests
import requests.adapters


def new_session(*, trusted_hosts: tuple[str, ...] = ()) -> requests.Session:
    """A session that trusts the system's certificates too, as pip does.

    Args:
        trusted_hosts: Hosts whose certificate is not checked (pip's ``trusted-host``).
    """
    session = requests.Session()
    session.mount("https://", _SystemTrust())
    for host in trusted_hosts:
        session.mount(f"https://{host}/", _NoCheck())
    return session


class _SystemTrust(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **options)


class _NoCheck(requests.adapters.HTTPAdapter):
    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, False, cert)


class LocalFiles(requests.adapters.BaseAdapter):
    """Serves ``file:`` URLs, so that an index in a folder is read like one on the network."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer with the file, or a folder's index.html, or 404."""
        path = local_path(request.url or "")
        path = path / "index.html" if path.is_dir() else path
        reply = requests.Response()
        reply.request, reply.url = request, request.url or ""
        try:
            reply.raw = path.open("rb")
            reply.status_code = 200
            stamp = email.utils.formatdate(path.stat().st_mtime, usegmt=True)
            reply.headers["Last-Modified"] = stamp
            reply.headers["Content-Length"] = str(path.stat().st_size)
            reply.headers["Content-Type"] = "text/html" if path.suffix == ".html" else ""
        except OSError as error:
            reply.status_code = 404
            reply.reason = error.strerror or "not found"
        return reply

    def close(self) -> None:
        """Nothing is kept open."""


def local_path(link: str) -> Path:
    """The path of a ``file:`` URL or of a plain path."""
    return Path(url2pathname(urlsplit(link).path)) if link.startswith("file://") else Path(link)


def shown(url: str) -> str:
    """A URL as it may be printed: without a user name, password, query or fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def cause(error: Exception) -> str:
    """The innermost reason of a network error, in a few words."""
    text = str(error)
    for pattern, reason in (
        (r"resolve|resolution|getaddrinfo|Name or service", "the host name cannot be resolved"),
        (r"CERTIFICATE_VERIFY_FAILED", "the server's certificate cannot be verified"),
        (r"IncompleteRead|Connection broken|reset by peer|aborted", "the connection was cut"),
        (r"refused", "the connection was refused"),
        (r"timed out|timeout", "the server does not answer"),
        (r"ProxyError|proxy", "the proxy does not let it through"),
        (r"unreachable", "the network is unreachable"),
    ):
        if re.search(pattern, text, re.IGNORECASE):
            return reason
    return f"{type(error).__name__} {text[:120]}"
