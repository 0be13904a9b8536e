"""The commands that measure: wrong usage, and what they print."""

import pytest

from tests.srmri_tf.cli.test_cli import run
from tests.srmri_tf.evaluation.test_measuring import make_run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["report", "absent"], 3, "absent: is not an evaluation"),
        (["report", "absent", "--roi", "1,2"], 2, "ROW,COLUMN,SIDE"),
        (["crossval", "cpce", "absent", "-o", "cv"], 3, "absent: is not a folder of shards"),
        (
            ["crossval", "cpce", "absent", "-o", "cv", "--recipe", "paper-circle"],
            2,
            "is a recipe for circle, not cpce",
        ),
        (["crossval", "cpce", "absent", "-o", "cv", "--set", "batch_size=0"], 2, "batch_size"),
        (["evaluate", "absent", "absent", "-o", "out", "--fold", "-1"], 2, "--fold"),
    ],
)
def test_wrong_usage_is_one_message_and_its_code(
    arguments, code, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_evaluate_then_report(shards, tmp_path, capsys):
    network = make_run(tmp_path / "net")
    out = tmp_path / "eval"
    assert run("evaluate", network, shards, "-o", out) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| method | PSNR (dB) | gain |")
    assert "| lr |" in printed
    assert run("report", out, "--roi", "2,3,9") == 0
    assert f"report: {out / 'report.html'}" in capsys.readouterr().out


def test_another_number_of_folds_is_refused(shards, tmp_path, capsys):
    assert run("crossval", "cpce", shards, "-o", tmp_path / "cv", "--folds", 4) == 2
    assert "without folds" in capsys.readouterr().err
