"""A local HTTP server that behaves as badly as real ones do."""

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Site:
    """What the server has and how it misbehaves.

    ``faults`` is consumed one per request: each gets the handler and the file's bytes and answers
    in its own way, or returns False to let the request be answered properly.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    types: dict[str, str] = field(default_factory=dict)
    faults: list[Callable] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            site.requests.append((self.path, self.headers.get("Range", "")))
            data = site.files.get(self.path)
            if data is None:
                self.send_error(404)
            elif not site.faults or site.faults.pop(0)(self, data) is False:
                answer(self, site, data)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(handler, site, data):
    """As RFC 9110 says: a range only if the validator still holds."""
    wanted = handler.headers.get("Range", "")
    unchanged = handler.headers.get("If-Range", site.etag) == site.etag
    if wanted and unchanged:
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        if first >= len(data):
            reply(handler, 416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        stated = f"bytes {first}-{len(data) - 1}/{len(data)}"
        reply(handler, 206, data[first:], {"Content-Range": stated, "ETag": site.etag})
        return
    kind = site.types.get(handler.path, "application/octet-stream")
    reply(handler, 200, data, {"ETag": site.etag, "Content-Type": kind})


def reply(handler, status, body, headers, length=None):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    with contextlib.suppress(OSError):
        handler.wfile.write(body)


def cut_after(count, etag='"one"'):
    """Announce the rest of the file, send ``count`` bytes of it and close the connection."""

    def fault(handler, data):
        first = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        headers = {"ETag": etag} if etag else {}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        rest = data[first:]
        reply(handler, 206 if first else 200, rest[:count], headers, len(rest))

    return fault


def status(code):
    return lambda handler, _: reply(handler, code, b"", {})


def partial(stated, body, etag='"one"'):
    """Answer 206 with this Content-Range and body, whatever was asked for."""
    return lambda handler, _: reply(handler, 206, body, {"Content-Range": stated, "ETag": etag})
