import hashlib
import io
import tarfile

import pytest

from data_prep.download import http, ixi
from data_prep.errors import (
    BadInputError,
    ConfigError,
    CorruptArtefactError,
    EnvironmentFault,
)
from data_prep.files import LOCK
from srmri_tf.cli import main
from tests.data_prep import web

SCANS = {
    "IXI002-Guys-0828-T2.nii.gz": b"two" * 100_000,
    "IXI012-HH-1211-T2.nii.gz": b"twelve" * 50_000,
    "./IXI013-IOP-1212-T2.nii.gz": b"thirteen" * 40_000,
    "IXI002-Guys-0828-T1.nii.gz": b"another contrast",
    "notes.txt": b"not a scan",
}


def tar_bytes(members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def site(monkeypatch):
    data = tar_bytes(SCANS)
    monkeypatch.setitem(ixi.ARCHIVE_MD5, "T2", hashlib.md5(data).hexdigest())
    monkeypatch.setattr(http.time, "sleep", lambda _: None)
    with web.serve(web.Site(files={"/IXI-T2.tar": data})) as site:
        yield site


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != LOCK)


def test_one_site(site, tmp_path):
    paths = ixi.ixi(tmp_path, "T2", "Guys", mirror=site.url)
    assert [path.name for path in paths] == ["IXI002-Guys-0828-T2.nii.gz"]
    assert paths[0].read_bytes() == SCANS[paths[0].name]
    assert names(tmp_path) == ["IXI-ATTRIBUTION.txt", "IXI-T2-Guys.json", paths[0].name]


def test_all_sites_then_nothing_to_do(site, tmp_path):
    paths = ixi.ixi(tmp_path, mirror=site.url)
    assert len(paths) == 3
    asked = len(site.requests)
    assert ixi.ixi(tmp_path, mirror=site.url) == paths
    assert len(ixi.ixi(tmp_path, "T2", "HH", mirror=site.url)) == 1
    assert len(site.requests) == asked


def test_damaged_scans_come_again(site, tmp_path):
    paths = ixi.ixi(tmp_path, mirror=site.url, keep_archive=True)
    asked = len(site.requests)
    paths[0].write_bytes(b"damaged")
    ixi.ixi(tmp_path, mirror=site.url, keep_archive=True)
    assert paths[0].read_bytes() == SCANS[paths[0].name]
    assert len(site.requests) == asked


@pytest.mark.parametrize("kept", [False, True])
def test_an_archive_that_was_there_already_stays(site, tmp_path, kept):
    archive = tmp_path / "IXI-T2.tar"
    if kept:
        ixi.ixi(tmp_path, "T2", "HH", mirror=site.url, keep_archive=True)
    else:
        archive.write_bytes(site.files["/IXI-T2.tar"])
    asked = len(site.requests)
    assert len(ixi.ixi(tmp_path, "T2", "Guys", mirror=site.url)) == 1
    assert archive.read_bytes() == site.files["/IXI-T2.tar"]
    assert len(site.requests) == asked


@pytest.mark.parametrize("killed_in", ["extract", "_write_note", "after"])
def test_an_archive_of_a_killed_download_goes_with_the_next(site, tmp_path, monkeypatch, killed_in):
    def die(*args):
        raise KeyboardInterrupt

    write_note = ixi._write_note
    with monkeypatch.context() as patch:
        if killed_in == "extract":
            patch.setattr(ixi.untar, "extract", die)
        elif killed_in == "_write_note":
            patch.setattr(ixi, "_write_note", die)
        else:
            patch.setattr(ixi, "_write_note", lambda *args: die(write_note(*args)))
        with pytest.raises(KeyboardInterrupt):
            ixi.ixi(tmp_path, mirror=site.url)
    asked = len(site.requests)
    assert len(ixi.ixi(tmp_path, mirror=site.url)) == 3
    assert len(site.requests) == asked
    assert not [name for name in names(tmp_path) if "tar" in name]


def test_another_archive_of_the_users_stays(site, tmp_path):
    (tmp_path / "IXI-T2.tar").write_bytes(b"mine")
    with pytest.raises(BadInputError, match="another file than the archive"):
        ixi.ixi(tmp_path, mirror=site.url, keep_archive=True)
    assert len(ixi.ixi(tmp_path, mirror=site.url)) == 3
    assert (tmp_path / "IXI-T2.tar").read_bytes() == b"mine"


def test_scans_of_the_users_own_are_not_overwritten(site, tmp_path):
    (tmp_path / "IXI002-Guys-0828-T2.nii.gz").write_bytes(b"mine")
    with pytest.raises(BadInputError, match=r"0828-T2\.nii\.gz: is there already"):
        ixi.ixi(tmp_path, mirror=site.url)
    assert (tmp_path / "IXI002-Guys-0828-T2.nii.gz").read_bytes() == b"mine"
    assert site.requests == []


def test_an_interrupted_download_is_continued(site, tmp_path):
    cut = 4 * http.CHUNK
    site.faults = [web.cut_after(cut)] + [web.status(500)] * 5
    with pytest.raises(EnvironmentFault):
        ixi.ixi(tmp_path, mirror=site.url)
    assert names(tmp_path) == [".IXI-T2.tar.part", ".IXI-T2.tar.part.json"]
    assert len(ixi.ixi(tmp_path, mirror=site.url)) == 3
    assert site.requests[-1][1] == f"bytes={cut}-"


def test_an_archive_cut_short_in_place_is_not_trusted(site, tmp_path):
    (tmp_path / "IXI-T2.tar").write_bytes(site.files["/IXI-T2.tar"][:5000])
    assert len(ixi.ixi(tmp_path, mirror=site.url)) == 3


def test_hostile_members(site, tmp_path, monkeypatch):
    data = tar_bytes({"../../IXI002-Guys-0828-T2.nii.gz": b"evil"})
    site.files["/IXI-T2.tar"] = data
    dest = tmp_path / "a" / "b"
    with pytest.raises(CorruptArtefactError, match="regular file inside"):
        ixi.ixi(dest, mirror=site.url, md5=hashlib.md5(data).hexdigest())
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_another_archive_is_refused(site, tmp_path):
    site.files["/IXI-T2.tar"] = tar_bytes({"IXI002-Guys-0828-T2.nii.gz": b"other"})
    with pytest.raises(CorruptArtefactError, match="checksum"):
        ixi.ixi(tmp_path, mirror=site.url)
    assert names(tmp_path) == []


def test_wrong_names(tmp_path):
    with pytest.raises(ConfigError, match="DTI"):
        ixi.ixi(tmp_path, "DTI")
    with pytest.raises(ConfigError, match="Mars"):
        ixi.ixi(tmp_path, "T2", "Mars")


def test_the_command(site, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["download", "ixi", str(tmp_path / "x"), "--site", "HH", "--mirror", site.url])
    assert not left.value.code
    printed = capsys.readouterr()
    assert "1 T2 scans" in printed.out
    assert "CC BY-SA 3.0" in printed.err
    del site.files["/IXI-T2.tar"]
    with pytest.raises(SystemExit) as left:
        main(["download", "ixi", str(tmp_path / "y"), "--mirror", site.url])
    assert left.value.code == 5
    assert "404" in capsys.readouterr().err
