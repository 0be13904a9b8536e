"""`fit circle` and `demo --model`: options reach the run, wrong ones are refused in a line."""

import pytest

from srmri_tf.cli import main
from srmri_tf.experiments import demo
from srmri_tf.models.run import Run
from srmri_tf.training import fitting as training


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    return stopped.value.code or 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent", "-o", "run"], 3, "absent: is not a folder of shards"),
        (["absent", "-o", "run", "--mode", "self"], 2, "mode"),
        (["absent", "-o", "run", "--paired-fraction", "0.5"], 2, "mode = 'semi'"),
        (["absent", "-o", "run", "--mode", "semi", "--paired-fraction", "2"], 2, "paired_fraction"),
        (["absent", "-o", "run", "--recipe", "paper-cpce"], 2, "srmri-tf fit cpce"),
        (["absent", "-o", "run", "--set", "objective.perceptual=1"], 2, "objective.perceptual"),
        (["absent", "-o", "run", "--vgg-weights", "auto"], 2, "No such option"),
    ],
)
def test_wrong_usage_is_one_message_and_nothing_written(
    arguments, code, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run("fit", "circle", *arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_options_reach_the_run(tmp_path, monkeypatch, capsys):
    seen = {}

    def fit(config, shards, folder, **options):
        seen.update(config=config, options=options)
        return Run(folder)

    monkeypatch.setattr(training, "fit", fit)
    options = ["--mode", "semi", "--paired-fraction", "0.1", "--epochs", "7", "--devices", "2"]
    options += ["--init", "l1-x2"]
    assert run("fit", "circle", "shards", "-o", tmp_path / "run", *options) == 0
    config = seen["config"]
    assert (config.model, config.mode, config.paired_share()) == ("circle", "semi", 0.1)
    assert config.schedule.epochs == 7
    assert config.init == "l1-x2"
    assert seen["options"]["devices"] == 2
    assert str(tmp_path / "run") in capsys.readouterr().out


@pytest.mark.parametrize(("model", "recipe"), [("cpce", "cpce"), ("circle", "circle")])
def test_the_demo_trains_the_model_asked_for(model, recipe, tmp_path, monkeypatch):
    class StopError(Exception):
        pass

    def fit(config, shards, folder, *, estimate):
        assert (config.model, folder.parent) == (recipe, tmp_path)
        raise StopError

    monkeypatch.setattr(demo, "fit", fit)
    monkeypatch.setattr(demo, "prepare", lambda *args, **kwargs: None)
    monkeypatch.setattr(demo.sample, "sample", lambda folder, report: folder)
    with pytest.raises(StopError):
        demo.demo(tmp_path, model)
