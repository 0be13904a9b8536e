import contextlib
import hashlib
import json
import random
import subprocess
import sys
import time

import pytest

from data_prep.download.http import CHUNK, Expected, fetch
from data_prep.download.network import shown
from data_prep.errors import CorruptArtefactError, EnvironmentFault
from data_prep.files import has_digest
from tests.data_prep import web

DATA = random.Random(0).randbytes(1_000_000)
OTHER = random.Random(1).randbytes(900_000)
HERE = 262_144  # where connections are cut
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def site():
    with web.serve(web.Site(files={"/f": DATA})) as site:
        yield site


def get(site, tmp_path, expected=None, **options):
    return fetch(f"{site.url}/f", tmp_path / "f", expected or Expected(), pause=0, **options)


def leftovers(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_whole_file_and_progress(site, tmp_path):
    seen = []
    path = get(site, tmp_path, Expected(SHA, len(DATA)), report=lambda *a: seen.append(a))
    assert path.read_bytes() == DATA
    assert seen[-1] == ("f", len(DATA), len(DATA))
    assert leftovers(tmp_path) == ["f"]


def test_cut_connections_are_continued(site, tmp_path):
    site.faults = [web.cut_after(3 * CHUNK), web.cut_after(CHUNK), web.cut_after(5 * CHUNK)]
    assert get(site, tmp_path).read_bytes() == DATA
    ranges = [wanted for _, wanted in site.requests]
    assert ranges == ["", *(f"bytes={chunks * CHUNK}-" for chunks in (3, 4, 9))]


def test_a_cut_download_is_never_taken_for_a_complete_one(site, tmp_path):
    site.faults = [web.cut_after(HERE)] + [web.status(503)] * 5
    with pytest.raises(EnvironmentFault, match="503"):
        get(site, tmp_path)
    assert not (tmp_path / "f").exists()
    # A later call, in another process perhaps, continues from there.
    assert get(site, tmp_path).read_bytes() == DATA
    assert site.requests[-1][1] == f"bytes={HERE}-"


def test_without_a_validator_nothing_is_continued(site, tmp_path):
    site.faults = [web.cut_after(HERE, etag="")]
    assert get(site, tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted in site.requests] == ["", ""]


def test_a_server_that_ignores_ranges_starts_again(site, tmp_path):
    site.faults = [
        web.cut_after(HERE),
        lambda handler, data: web.reply(handler, 200, data, {"ETag": site.etag}),
    ]
    assert get(site, tmp_path).read_bytes() == DATA


def test_a_file_that_changes_in_between_is_fetched_anew(site, tmp_path):
    def change(handler, data):
        web.cut_after(HERE)(handler, data)
        site.files["/f"], site.etag = OTHER, '"two"'

    site.faults = [change]
    assert get(site, tmp_path).read_bytes() == OTHER


@pytest.mark.parametrize(
    ("stated", "etag"),
    [
        ("bytes 0-699999/1000000", '"one"'),
        ("bytes 262144-999999/1000001", '"one"'),
        ("bytes 262144-500000/1000000", '"one"'),
        ("bytes 262144-999999/*", '"one"'),
        ("nonsense", '"one"'),
        ("", '"one"'),
        ("bytes 262144-999999/1000000", '"two"'),
    ],
)
def test_wrong_ranges_are_thrown_away(site, tmp_path, stated, etag):
    site.faults = [web.cut_after(HERE), web.partial(stated, DATA[:700_000], etag)]
    assert get(site, tmp_path).read_bytes() == DATA


def test_a_range_that_was_not_asked_for_is_refused(site, tmp_path):
    site.faults = [web.partial("bytes 0-9/10", DATA[:10])]
    assert get(site, tmp_path).read_bytes() == DATA


def test_416_starts_again(site, tmp_path):
    site.faults = [web.cut_after(HERE), web.status(416)]
    assert get(site, tmp_path).read_bytes() == DATA


def test_a_complete_part_file_needs_no_request(site, tmp_path):
    (tmp_path / ".f.part").write_bytes(DATA)
    note = {"url": f"{site.url}/f", "validator": '"one"', "size": len(DATA)}
    (tmp_path / ".f.part.json").write_text(json.dumps(note))
    assert get(site, tmp_path, Expected(SHA)).read_bytes() == DATA
    assert site.requests == []


@pytest.mark.parametrize(
    "note",
    ["", "{", "[]", '{"url": "http://other/f", "validator": "\\"one\\"", "size": 1000000}'],
)
def test_a_part_file_without_a_usable_note_is_not_trusted(site, tmp_path, note):
    (tmp_path / ".f.part").write_bytes(b"x" * HERE)
    (tmp_path / ".f.part.json").write_text(note)
    assert get(site, tmp_path).read_bytes() == DATA


def test_no_such_file(site, tmp_path):
    del site.files["/f"]
    with pytest.raises(EnvironmentFault, match="404"):
        get(site, tmp_path)
    assert len(site.requests) == 1
    assert leftovers(tmp_path) == []


def test_wrong_checksum_and_size(site, tmp_path):
    with pytest.raises(CorruptArtefactError, match="checksum"):
        get(site, tmp_path, Expected("0" * 64))
    with pytest.raises(CorruptArtefactError, match="1000000 bytes long, but 7"):
        get(site, tmp_path, Expected(SHA, 7))
    assert leftovers(tmp_path) == []


def test_no_length_and_no_checksum_is_refused(site, tmp_path):
    def endless(handler, data):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data[:500])

    site.faults = [endless]
    with pytest.raises(EnvironmentFault, match="how long"):
        get(site, tmp_path)


def test_no_room(site, tmp_path):
    with pytest.raises(EnvironmentFault, match="free disk space"):
        get(site, tmp_path, Expected(room=1e12))
    assert leftovers(tmp_path) == []


def test_nobody_there_fails_fast(tmp_path):
    started = time.monotonic()
    with pytest.raises(EnvironmentFault, match="refused"):
        fetch("http://127.0.0.1:9/f", tmp_path / "f", pause=0.1)
    assert time.monotonic() - started < 2
    assert leftovers(tmp_path) == []


def test_digests_by_length(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(DATA)
    assert has_digest(path, SHA)
    assert has_digest(path, hashlib.md5(DATA).hexdigest().upper())
    assert not has_digest(path, "0" * 32)


def test_secrets_are_not_shown():
    assert shown("https://user:pass@host:1/simple/?token=x#y") == "https://host:1/simple/"


def test_killed_at_any_moment(site, tmp_path):
    """Kill the downloading process again and again; the file is whole or not there."""

    def trickle(handler, data):
        first = int(handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        handler.send_response(206 if first else 200)
        handler.send_header("ETag", site.etag)
        handler.send_header("Content-Length", str(len(data) - first))
        handler.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for start in range(first, len(data), CHUNK):
                handler.wfile.write(data[start : start + CHUNK])
                time.sleep(0.03)

    site.faults = [trickle] * 50
    code = "import sys; from pathlib import Path; from data_prep.download.http import fetch; "
    code += "print(flush=True); fetch(sys.argv[1], Path(sys.argv[2]))"
    command = [sys.executable, "-c", code, f"{site.url}/f", str(tmp_path / "f")]
    rng = random.Random(2)
    for attempt in range(6):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        process.stdout.readline()
        while not (attempt or any(path.stat().st_size for path in tmp_path.iterdir())):
            time.sleep(0.01)  # the first attempt leaves something to go on from
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        process.communicate()
        assert not (tmp_path / "f").exists() or (tmp_path / "f").read_bytes() == DATA
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "f").read_bytes() == DATA
    assert any(wanted for _, wanted in site.requests)
