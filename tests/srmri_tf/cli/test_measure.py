"""The commands that measure: wrong usage, and what they print."""

import pytest

from srmri_tf.cli.measure import crossval as crossval_command
from srmri_tf.experiments import crossval
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
            "is for model circle, not cpce",
        ),
        (["crossval", "cpce", "absent", "-o", "cv", "--set", "batch_size=0"], 2, "batch_size"),
        (["crossval", "cpce", "absent", "-o", "cv", "--batch-size", "0"], 2, "batch_size"),
        (["crossval", "cpce", "absent", "-o", "cv", "--precision", "half"], 2, "precision"),
        (["crossval", "cpce", "absent", "-o", "cv", "--devices", "gpu:2"], 2, "nor cpu:2"),
        (["crossval", "cpce", "absent", "-o", "cv", "--devices", "cpu:0"], 2, "nor cpu:2"),
        (["evaluate", "absent", "absent", "-o", "out", "--fold", "-1"], 2, "--fold"),
        (
            ["evaluate", "absent", "absent", "-o", "out"],
            3,
            "absent: is not a training run, an exported model or a shipped model's name",
        ),
        (
            ["evaluate", "cpce-t2-x2", "absent", "-o", "out"],
            3,
            "absent: is not a folder of shards",
        ),
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


def test_cross_validation_takes_the_options_of_fit(tmp_path, monkeypatch):
    plans = []

    class Stop(Exception):  # noqa: N818
        pass

    def plan(*arguments):
        plans.append(arguments)
        raise Stop

    monkeypatch.setattr(crossval, "Plan", plan)
    options = "--epochs 3 --seed 4 --batch-size 8 --precision bfloat16 --devices cpu:2 --init m"
    with pytest.raises(Stop):
        crossval_command.callback(
            **crossval_command.make_context(
                "crossval", ["circle", "shards", "-o", str(tmp_path), *options.split()]
            ).params
        )
    ((config, _, _, devices, _),) = plans
    assert (config.schedule.epochs, config.seed, config.batch_size) == (3, 4, 8)
    assert (config.precision, config.init, devices) == ("bfloat16", "m", "cpu:2")


def test_another_number_of_folds_is_refused(shards, tmp_path, capsys):
    assert run("crossval", "cpce", shards, "-o", tmp_path / "cv", "--folds", 4) == 2
    assert "without folds" in capsys.readouterr().err
