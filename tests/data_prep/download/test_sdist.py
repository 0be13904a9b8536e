import hashlib
import sys
import time
from pathlib import Path

import pytest

from data_prep import files as atomic
from data_prep.download import sdist
from data_prep.errors import CorruptArtefactError, EnvironmentFault
from tests.data_prep import web

DATA = b"the bytes of a source package" * 1000
SDIST = sdist.Sdist("some-Project", "1.2", hashlib.sha256(DATA).hexdigest(), len(DATA))
NAME = "some_project-1.2.tar.gz"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SRMRI_TF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def index(data=DATA, fragment=True, name=NAME):
    """A server with one project page and one file."""
    hashed = f"#sha256={hashlib.sha256(data).hexdigest()}" if fragment else ""
    page = f'<a href="/files/other-9.tar.gz#sha256={"0" * 64}">other-9.tar.gz</a>'
    page += f'<a href="/files/{name}{hashed}">{name}</a>'
    files = {"/simple/some-project/": page.encode(), f"/files/{name}": data}
    return web.serve(web.Site(files=files, types={"/simple/some-project/": "text/html"}))


def settings(*indexes, **options):
    return sdist.IndexSettings(indexes=indexes, **options)


@pytest.mark.parametrize("fragment", [True, False])
def test_fetched_once_and_then_from_the_cache(cache, fragment):
    with index(fragment=fragment) as site:
        path = sdist.fetch_sdist(SDIST, settings=settings(f"{site.url}/simple"))
        assert path == cache / NAME
        assert path.read_bytes() == DATA
    # The server is gone, and pip's settings are not even read.
    assert sdist.fetch_sdist(SDIST) == path


def test_a_damaged_cached_copy_is_fetched_again(cache):
    cache.mkdir()
    (cache / NAME).write_bytes(DATA[:-1] + b"x")
    with index() as site:
        path = sdist.fetch_sdist(SDIST, settings=settings(f"{site.url}/simple/"))
    assert path.read_bytes() == DATA


def test_the_next_index_is_asked(cache):
    with index() as site:
        folders = settings("http://127.0.0.1:9/simple", f"{site.url}/empty", f"{site.url}/simple")
        assert sdist.fetch_sdist(SDIST, settings=folders).read_bytes() == DATA


def test_an_index_in_a_folder(cache, tmp_path):
    project = tmp_path / "index" / "some-project"
    project.mkdir(parents=True)
    (project / NAME).write_bytes(DATA)
    (project / "index.html").write_text(f'<a href="{NAME}">{NAME}</a>')
    for where in ((tmp_path / "index").as_uri(), str(tmp_path / "index")):
        path = sdist.fetch_sdist(SDIST, settings=settings(where))
        assert path.read_bytes() == DATA
        path.unlink()


def test_a_folder_of_files(cache, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "some-Project-1.2.tar.gz").write_bytes(DATA)
    path = sdist.fetch_sdist(SDIST, settings=settings(folders=(tmp_path / "wheels",)))
    assert path.read_bytes() == DATA


def test_another_file_under_the_name_is_refused(cache):
    with index(data=DATA[::-1], fragment=False) as site:
        with pytest.raises(CorruptArtefactError, match="checksum"):
            sdist.fetch_sdist(SDIST, settings=settings(f"{site.url}/simple"))
        assert not (cache / NAME).exists()
    with index(data=DATA[::-1]) as site, pytest.raises(EnvironmentFault, match="not have this"):
        sdist.fetch_sdist(SDIST, settings=settings(f"{site.url}/simple"))


def test_no_network_is_one_clear_fault(cache):
    started = time.monotonic()
    with pytest.raises(EnvironmentFault) as caught:
        sdist.fetch_sdist(SDIST, settings=settings("http://user:secret@127.0.0.1:9/simple"))
    assert time.monotonic() - started < 2
    assert "refused" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert str(cache / NAME) in str(caught.value)


def test_a_cached_file_being_fetched_is_waited_for(cache):
    path = cache / NAME
    fault = pytest.raises(EnvironmentFault, match="another")
    with atomic.lock(cache / ".locks" / NAME), fault, sdist.hold(path, seconds=0):
        pass
    with sdist.hold(path, seconds=0):
        pass


def test_pip_config_list_is_merged_as_pip_does():
    text = "\n".join(
        [
            ":env:.index-url='https://env/simple'",
            "download.timeout='7'",
            "global.index-url='https://global/simple'",
            "global.timeout='99'",
            "global.extra-index-url='https://a/simple\\nhttps://b/simple'",
            "install.index-url='https://never/simple'",
            "global.broken=[",
            "noise",
        ]
    )
    assert sdist.parse_pip_config(text) == {
        "index-url": "https://env/simple",
        "timeout": "7",
        "extra-index-url": "https://a/simple\nhttps://b/simple",
    }


def test_the_users_own_pip_is_asked(monkeypatch, tmp_path):
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://mine/simple\nextra-index-url =\n  https://a/simple\n"
        "  https://b/simple\nfind-links = /folder https://page\ntrusted-host = mine\n"
        "timeout = 3\nproxy = http://proxy:1\n[download]\ncert = /ca.pem\n"
    )
    for name in [name for name in sdist.os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = sdist.read_settings()
    assert found.indexes[0] == "https://mine/simple"
    assert found.indexes[1:] == ("https://a/simple", "https://b/simple")
    assert found.folders == (Path("/folder"),)
    assert (found.proxy, found.timeout, found.trusted_hosts) == ("http://proxy:1", 3.0, ("mine",))
    assert found.ca_bundle == "/ca.pem"
    monkeypatch.setenv("PIP_INDEX_URL", "https://env/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "0")
    assert sdist.read_settings().indexes[0] == "https://env/simple"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert sdist.read_settings().indexes == ()


def test_without_pip_the_variables_count(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    for name in [name for name in sdist.os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    assert sdist.read_settings().indexes == (sdist.pypi_simple.PYPI_SIMPLE_ENDPOINT,)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more/simple")
    monkeypatch.setenv("PIP_CERT", "/ca.pem")
    assert sdist.read_settings().indexes[1:] == ("https://more/simple",)
    assert sdist.read_settings().ca_bundle == "/ca.pem"


def test_a_missing_certificate_bundle_is_named(cache):
    with pytest.raises(EnvironmentFault, match="certificate bundle"):
        sdist.fetch_sdist(SDIST, settings=settings("https://127.0.0.1:9", ca_bundle="/none.pem"))
