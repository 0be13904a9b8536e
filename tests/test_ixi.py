"""docs/ixi.md: its commands, from download to table, on a made-up IXI of twelve subjects."""

import hashlib
import io
import re
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.download import ixi
from srmri_tf.networks.vgg19.file import LAYERS, write_weights
from tests.data_prep import web
from tests.data_prep.phantoms import phantom, save
from tests.test_notebook import parsed

DOC = (Path(__file__).parents[1] / "docs" / "ixi.md").read_text(encoding="utf-8")
COMMANDS, SLICE_WISE = (
    [shlex.split(line.strip().removeprefix("srmri-tf ")) for line in block.splitlines()]
    for block in re.findall(r"^ *```\n(.*?)^ *```", DOC, re.MULTILINE | re.DOTALL)
)
GUYS = ("002-Guys-0828", "016-Guys-0697", "017-Guys-0698", "019-Guys-0702", "020-Guys-0700")
GUYS += ("021-Guys-0703", "022-Guys-0701", "023-Guys-0699")
OTHERS = ("012-HH-1211", "013-HH-1212", "014-HH-1236", "035-IOP-0873")
BROKEN = "IXI020-Guys-0700-T2.nii.gz"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def archive(folder, shape, subjects=GUYS + OTHERS, broken=BROKEN):
    """IXI-T2.tar of scans of 16 bit, one of them cut short."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, subject in enumerate(subjects):
            name = f"IXI{subject}-T2.nii.gz"
            voxels = phantom(shape, number).astype(np.int16)
            path = save(folder / name, voxels, spacing=(0.9375, 0.9375, 1.25))
            data = path.read_bytes()
            data = data[: len(data) // 2] if name == broken else data
            path.unlink()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_every_command_is_understood():
    assert [words[0] for words in COMMANDS] == ["download", "prepare", "fit", "fit", "evaluate"]
    for words in COMMANDS + SLICE_WISE:
        parsed(words)


def download(run, monkeypatch, data):
    monkeypatch.setitem(ixi.ARCHIVE_MD5, "T2", hashlib.md5(data).hexdigest())
    with web.serve(web.Site(files={"/IXI-T2.tar": data})) as site:
        assert run(*COMMANDS[0], "--mirror", site.url)[0] == 0


def counts(text):
    """Subjects, scans and slices of each split, as `prepare` prints them."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: tuple(map(int, row[1:4])) for row in rows if row and row[0] in SPLITS}


SPLITS = ("train", "val", "test")
FEW = ("--train-count", 5, "--val-count", 1, "--test-count", 1)


def prepare_all_but_the_broken_one(run, *options):
    code, _, said = run(*COMMANDS[1], *FEW, *options)
    assert code == 3
    assert BROKEN in said
    assert list(Path("shards").glob("*.tfrecord"))  # of the others
    (Path("scans") / BROKEN).unlink()
    code, printed, _ = run(*COMMANDS[1], *FEW, *options)
    assert code == 0
    return counts(printed)


def test_one_hospital_is_fetched_and_prepared_and_a_broken_scan_is_named(folder, run, monkeypatch):
    download(run, monkeypatch, archive(folder, (64, 64, 6)))
    scans = [path.name for path in Path("scans").glob("*.nii.gz")]
    assert sorted(scans) == [f"IXI{subject}-T2.nii.gz" for subject in GUYS]
    found = prepare_all_but_the_broken_one(run, "--workers", 1)
    assert found == {"train": (5, 5, 30), "val": (1, 1, 6), "test": (1, 1, 6)}


def test_the_papers_own_counts(folder, run):
    for number in range(12):  # small slices, but enough of them
        voxels = phantom((16, 16, 750), number).astype(np.int16)
        save(folder / "scans" / f"IXI{number + 1:03}-Guys-{number + 700:04}-T2.nii.gz", voxels)
    code, printed, said = run(*SLICE_WISE[0], "--workers", 1, "--patch-size", 16)
    assert code == 0
    assert "slices of one subject are in training and in test" in said
    found = counts(printed)
    assert (found["train"][2], found["val"][2], found["test"][2]) == (8000, 0, 955)


@pytest.mark.slow
def test_from_download_to_table_at_the_real_size(folder, run, monkeypatch):
    """One step of each network: the whole of the rest."""
    download(run, monkeypatch, archive(folder, (256, 256, 130)))
    found = prepare_all_but_the_broken_one(run, "--workers", 2)
    assert found == {"train": (5, 5, 650), "val": (1, 1, 130), "test": (1, 1, 130)}
    rng = np.random.default_rng(0)
    weights = {
        layer: (
            (rng.standard_normal((3, 3, *channels)) / np.sqrt(9 * channels[0])).astype(np.float32),
            rng.standard_normal(channels[1]).astype(np.float32),
        )
        for layer, channels in LAYERS.items()
    }
    write_weights(folder / "vgg.h5", weights)
    vgg = ("--vgg-weights", "vgg.h5")
    short = ("--epochs", 1, "--batch-size", 2, "--set", "schedule.steps_per_epoch=1")
    short += ("--set", "validation.max_slices=2")
    assert run(*COMMANDS[2], *short, *vgg)[0] == 0
    assert run(*COMMANDS[3], *short)[0] == 0
    assert run(*COMMANDS[4], "--no-perceptual")[0] == 0
    table = Path("evaluation", "table.md").read_text()
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:8]]
    assert rows == ["lr", "bicubic", "cpce", "circle", "GAN-CPCE (paper) †", "GAN-CIRCLE (paper) †"]
    assert Path("evaluation", "figure.png").is_file()
