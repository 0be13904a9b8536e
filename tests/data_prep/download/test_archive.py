import io
import tarfile

import pytest

from data_prep.download.archive import extract
from data_prep.errors import BadInputError, CorruptArtefactError


def member(name, data=b"payload", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data) if kind == tarfile.REGTYPE else 0, link
    return info, data


def archive(path, *members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def last_part(name):
    return name.rsplit("/", 1)[-1]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_only_the_chosen_members(tmp_path, suffix):
    path = archive(tmp_path / f"a.{suffix}", member("d/one", b"1"), member("d/two", b"2"))
    out = tmp_path / "out"
    assert extract(path, out, {"d/two": "renamed"}.get) == [out / "renamed"]
    assert [(f.name, f.read_bytes()) for f in out.iterdir()] == [("renamed", b"2")]


@pytest.mark.parametrize(
    "hostile",
    [
        member("/abs/evil"),
        member("../evil"),
        member("a/../../evil"),
        member("evil", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("evil", kind=tarfile.LNKTYPE, link="../secret"),
        member("evil", kind=tarfile.CHRTYPE),
        member("evil", kind=tarfile.BLKTYPE),
        member("evil", kind=tarfile.FIFOTYPE),
        member("evil", kind=tarfile.DIRTYPE),
    ],
    ids=lambda pair: f"{pair[0].name}-{pair[0].type.decode()}",
)
def test_hostile_members_write_nothing(tmp_path, hostile):
    """Archives with absolute paths, .., links or devices."""
    path = archive(tmp_path / "a.tar", hostile)
    out = tmp_path / "deep" / "out"
    with pytest.raises(CorruptArtefactError, match="not a regular file inside"):
        extract(path, out, last_part)
    assert [p.name for p in tmp_path.rglob("*")] == ["a.tar"]


def test_hostile_members_that_are_not_chosen_do_no_harm(tmp_path):
    path = archive(tmp_path / "a.tar", member("../evil"), member("good", b"g"))
    out = tmp_path / "deep" / "out"
    extract(path, out, {"good": "good"}.get)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.tar", "deep", "good", "out"]


def test_a_symlink_in_the_way_is_replaced_and_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"keep me")
    out = tmp_path / "out"
    out.mkdir()
    (out / "f").symlink_to(secret)
    extract(archive(tmp_path / "a.tar", member("f", b"new")), out, last_part)
    assert secret.read_bytes() == b"keep me"
    assert (out / "f").read_bytes() == b"new"


def test_damaged_files_are_replaced(tmp_path):
    path = archive(tmp_path / "a.tar", member("one", b"12345"), member("two", b"12345"))
    out = tmp_path / "out"
    for _ in range(2):
        assert extract(path, out, last_part) == [out / "one", out / "two"]
        assert [f.read_bytes() for f in sorted(out.iterdir())] == [b"12345"] * 2
        (out / "two").write_bytes(b"12x")


def test_an_archive_makes_no_file_executable(tmp_path):
    info, data = member("f")
    info.mode = 0o6777
    extract(archive(tmp_path / "a.tar", (info, data)), tmp_path / "out", last_part)
    mode = (tmp_path / "out" / "f").stat().st_mode
    assert mode & 0o7111 == 0


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
@pytest.mark.parametrize("keep", [0.0, 0.4, 0.7])
def test_cut_archives(tmp_path, suffix, keep):
    path = archive(tmp_path / f"a.{suffix}", member("f", bytes(range(256)) * 400))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * 102_400 * len(data) / max(len(data), 102_400))])
    with pytest.raises(CorruptArtefactError, match="not a whole tar"):
        extract(path, tmp_path / "out", last_part)
    assert not (tmp_path / "out" / "f").exists()


def test_no_archive(tmp_path):
    with pytest.raises(BadInputError, match="does not exist"):
        extract(tmp_path / "none.tar", tmp_path, last_part)
