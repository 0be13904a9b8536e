"""--json and --dry-run as programs and people use them."""

import json

import click
import numpy as np
import pytest

from data_prep.errors import BadInputError
from srmri_tf.cli import messages
from srmri_tf.cli.output import reporting
from tests.data_prep.phantoms import phantom, save
from tests.srmri_tf.cli.test_cli import run

KEYS = ["schema", "version", "command", "error", "warnings", "left_out", "result"]


@pytest.fixture
def scans(tmp_path):
    """Three scans and a mask."""
    folder = tmp_path / "scans"
    for number in range(3):
        save(folder / f"s{number}_T2.nii.gz", phantom((32, 30, 8), number))
    save(folder / "s0_T2_mask.nii.gz", (phantom((32, 30, 8)) > 500).astype(np.uint8))
    return folder


@pytest.fixture
def document(capsys):
    """The exit code of a command with --json, and its document."""

    def call(*arguments):
        code = run(*arguments, "--json")
        found = json.loads(capsys.readouterr().out)
        assert list(found) == KEYS
        assert (found["schema"], found["command"]) == ("srmri-tf/1", arguments[0])
        return code, found

    return call


def everything(folder):
    return sorted(folder.rglob("*"))


def test_a_dry_run_of_prepare_says_what_would_be_made(scans, tmp_path, document, capsys):
    before = everything(tmp_path)
    given = ("prepare", scans, "-o", tmp_path / "out", "--patch-size", "16")
    code, found = document(*given, "--dry-run")
    assert code == 0
    assert found["left_out"] == [{"file": str(scans / "s0_T2_mask.nii.gz"), "reason": "mask"}]
    result = found["result"]
    assert (result["dry_run"], result["output"]) == (True, str(tmp_path / "out"))
    assert result["scans"][0] == {
        "file": str(scans / "s0_T2.nii.gz"),
        "subject": "s0",
        "session": "",
        "contrast": "T2",
        "site": "",
        "plane": "axial",
        "split": "test",
        "fold": None,
        "shard": "s0.tfrecord",
    }
    assert run(*given, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "Nothing was written" in shown
    assert "s2.tfrecord" in shown
    assert everything(tmp_path) == before


def test_a_dry_run_finds_what_the_real_one_would(scans, tmp_path, document):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    code, found = document("prepare", scans, "-o", tmp_path / "out", "--dry-run")
    assert (code, found["error"]["exit_code"]) == (2, 2)
    assert "such as thesis.tex" in found["error"]["message"]
    (scans / "bad.nii").write_text("text")
    code, found = document("enhance", scans, "--dry-run")
    assert (code, found["error"]["exit_code"]) == (3, 3)
    assert "bad.nii: is not a NIfTI file" in found["error"]["message"]
    assert len(found["result"]["scans"]) == 3


def test_a_dry_run_finds_that_the_folder_was_prepared_differently(scans, tmp_path, document):
    given = ("prepare", scans, "-o", tmp_path / "out", "--patch-size")
    assert document(*given, "16")[0] == 0
    before = everything(tmp_path)
    for size, expected in ((20, 2), (16, 0)):
        code, found = document(*given, str(size), "--dry-run")
        assert code == expected
        assert len(found["result"]["scans"]) == 3
    code, found = document(*given, "20", "--dry-run")
    assert "patch_size: 16 there, 20 asked for" in found["error"]["message"]
    assert everything(tmp_path) == before


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_slice_wise_split_is_warned_of_in_the_document(scans, tmp_path, document, options):
    given = ("prepare", scans, "-o", tmp_path / "out", "--patch-size", "16", "--slice-wise")
    _, found = document(*given, *options)
    assert ["slices of one subject are in training" in text for text in found["warnings"]] == [True]
    if not options:
        assert document("inspect", tmp_path / "out")[1]["warnings"] == found["warnings"]


def test_prepare_verify_and_inspect(scans, tmp_path, document):
    out = tmp_path / "out"
    code, made = document("prepare", scans, "-o", out, "--patch-size", "16")
    assert code == 0
    assert len(made["result"]["scans"]) == 3
    code, verified = document("verify", out)
    assert verified["result"]["splits"]["test"]["slices"] == 8
    assert verified["result"]["contrasts"] == {"T2": 3}
    assert verified["result"] == {key: made["result"][key] for key in verified["result"]}
    code, inspected = document("inspect", out)
    assert inspected["left_out"] == [{"file": "s0_T2_mask.nii.gz", "reason": "mask"}]
    rows = inspected["result"]["low_resolution"]
    assert [row["split"] for row in rows] == ["train", "val", "test"]
    assert 20 < rows[0]["means"]["psnr"] < 60
    code, failed = document("verify", scans)
    assert (code, failed["error"]["exit_code"], failed["result"]) == (3, 3, {})


def test_a_dry_run_of_enhance_says_model_and_names(scans, tmp_path, document, capsys):
    before = everything(tmp_path)
    code, found = document("enhance", scans, "-o", tmp_path / "out", "--dry-run")
    assert code == 0
    assert found["result"]["dry_run"] is True
    assert found["result"]["scans"][0] == {
        "file": str(scans / "s0_T2.nii.gz"),
        "subject": "s0",
        "contrast": "T2",
        "contrast_source": "name",
        "plane": "axial",
        "model": "l1-x2",
        "page": None,
        "outputs": [
            str(tmp_path / "out" / f"s0_T2_desc-circle.{suffix}") for suffix in ("nii.gz", "json")
        ],
        "finished_before": False,
    }
    assert run("enhance", scans, "-o", tmp_path / "out", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "s0_T2.nii.gz: contrast T2 by its name, axial slices, model l1-x2\n" in shown
    assert everything(tmp_path) == before


def test_enhance(scans, tmp_path, document):
    given = ("enhance", scans / "s0_T2.nii.gz", "-o", tmp_path / "out")
    for before in (False, True):
        code, found = document(*given)
        assert code == 0
        assert [row["finished_before"] for row in found["result"]["scans"]] == [before]


def test_models(document):
    _, every = document("models")
    names = [card["name"] for card in every["result"]["models"]]
    assert "cpce-t2-x2" in names
    _, one = document("models", names[0])
    assert one["result"]["models"] == every["result"]["models"][:1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), {"message": "interrupted", "exit_code": 130}),
        (click.UsageError("two names"), {"message": "two names", "exit_code": 2}),
        (BadInputError("is empty", path="a", remedy="Go"), {"exit_code": 3}),
        (KeyError("x"), {"exit_code": 1}),
    ],
)
def test_there_is_a_document_whatever_ends_a_command(capsys, error, said):
    def command():
        with reporting("x", as_json=True) as report:
            report.result = {"done": 1}
            raise error

    with pytest.raises(type(error)):
        command()
    found = json.loads(capsys.readouterr().out)
    assert found["result"] == {"done": 1}
    assert found["error"] | said == found["error"]


def test_what_json_does_not_know_is_put_into_words(tmp_path, capsys):
    with messages.speaking(), reporting("x", as_json=True) as report:
        report.say("for people")
        report.warn("careful")
        report.result = {"path": tmp_path, "none": float("nan"), "list": (1, float("inf"))}
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["result"] == {"path": str(tmp_path), "none": None, "list": [1, None]}
    assert (found["warnings"], captured.err) == (["careful"], "srmri-tf: warning: careful\n")
