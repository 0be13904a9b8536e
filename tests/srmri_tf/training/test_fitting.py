"""The engine: learning, resuming to the bit, sharing a batch, guards and refusals."""

import csv
import functools
import io
import itertools
import json
import os
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError, DivergedError
from data_prep.files import LOCK, file_sha256, sealed
from srmri_tf.data.dataset import Shards
from srmri_tf.models import checkpoint
from srmri_tf.models.resume import is_finished
from srmri_tf.models.run import Run
from srmri_tf.networks import cpce, precision
from srmri_tf.networks.vgg19 import weights
from srmri_tf.networks.vgg19.weights import VggWeights
from srmri_tf.recipes import load_recipe, to_toml
from srmri_tf.recipes.config import CpceConfig, Optimizer
from srmri_tf.training import fitting, watch
from srmri_tf.training.engine import Engine, phases, stop_requests
from srmri_tf.training.fitting import fit
from srmri_tf.training.journal import Journal
from srmri_tf.training.validation import Quality, Validator
from srmri_tf.training.watch import DEAD_STEPS, Guard
from tests.srmri_tf.cli.test_cli import run_alone
from tests.srmri_tf.conftest import kept_as_if_killed, without_checksums

pytestmark = pytest.mark.usefixtures("small_networks")
QUICK = {
    "model": "cpce",
    "batch_size": 4,
    "generator": {"shortcut": True},
    "objective": {"perceptual": 0, "n_critic": 2, "l1": 1.0},
    "schedule": {"epochs": 2, "warmup_epochs": 1, "critic_epochs": 1},
}
QUIET = Console(file=io.StringIO())


def quick(**changes):
    return CpceConfig.model_validate({**QUICK, **changes})


def train(config, shards, run, **kwargs):
    return fit(config, shards, run, devices=kwargs.pop("devices", 1), console=QUIET, **kwargs)


def final_arrays(run):
    return checkpoint.load(run.checkpoint_file)[0]


def assert_same_bits(run, expected):
    found = final_arrays(run)
    for name, array in final_arrays(expected).items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.fixture(scope="module")
def finished(shards, killed, tmp_path_factory):
    with kept_as_if_killed(killed):
        return train(quick(), shards, tmp_path_factory.mktemp("runs") / "undisturbed")


def test_a_run_holds_what_it_should(finished, shards):
    names = {p.name for p in finished.folder.iterdir() if p.name != LOCK}
    assert names == {"config.toml", "run.json", "log.csv", "checkpoint.npz", "best.npz"}
    assert load_recipe(str(finished.config_file)) == quick()
    facts = json.loads(finished.facts_file.read_text())
    assert facts["subjects"]["train"] == ["s1", "s2"]
    assert facts["vgg"] == "not used"
    assert facts["software"]["tensorflow"] == tf.__version__


def test_the_log_has_every_epoch_with_the_low_resolution_row(finished):
    rows = list(csv.DictReader(finished.log_file.open()))
    assert [r["phase"] for r in rows] == ["content", "critic", "adversarial", "adversarial"]
    assert [int(r["steps"]) for r in rows] == [8, 4, 4, 4]
    assert {r["validated_on"] for r in rows} == {"val"}
    assert len({r["lr_psnr"] for r in rows}) == 1
    assert rows[0]["critic_loss"] == ""
    for column in ("critic_loss", "generator_loss", "wasserstein", "gradient_penalty", "psnr"):
        assert np.isfinite(float(rows[-1][column]))


def test_a_warm_up_of_smaller_batches_takes_the_same_pairs_in_more_steps(shards, tmp_path):
    schedule = {"epochs": 1, "warmup_epochs": 1, "steps_per_epoch": 2, "warmup_batch_size": 2}
    run = train(quick(schedule=schedule), shards, tmp_path / "run")
    history = checkpoint.load(run.checkpoint_file)[1]["history"]
    assert [(row["phase"], row["steps"]) for row in history] == [("content", 4), ("adversarial", 2)]


def test_only_the_last_phase_competes_for_the_best(finished):
    _, meta = checkpoint.load(finished.best_file)
    rows = checkpoint.load(finished.checkpoint_file)[1]["history"]
    assert meta["epoch"] == max(rows[2:], key=lambda r: r["psnr"])["epoch"]


def test_the_last_epoch_can_be_the_one_that_is_kept(shards, tmp_path, monkeypatch):
    close_epoch = Journal.close_epoch

    def worse_and_worse(journal, quality, *rest):
        falling = Quality(psnr=-float(journal.progress.epoch), ssim=quality.ssim)
        return close_epoch(journal, falling, *rest)

    monkeypatch.setattr(Journal, "close_epoch", worse_and_worse)
    schedule = {"epochs": 3, "steps_per_epoch": 1}
    for monitor, expected in (("psnr", 1), ("last", 3)):
        config = quick(validation={"monitor": monitor}, schedule=schedule)
        run = train(config, shards, tmp_path / monitor)
        kept, meta = checkpoint.load(run.best_file)
        assert meta["epoch"] == expected
    for name, array in kept.items():
        np.testing.assert_array_equal(final_arrays(run)[f"generator/{name}"], array)


def test_averaged_weights_are_measured_and_kept(shards, tmp_path):
    schedule = {"epochs": 0, "warmup_epochs": 2, "steps_per_epoch": 3, "warmup_learning_rate": 0.01}
    optimizer = {"generators": "muon", "ema": 0.5}
    config = quick(schedule=schedule, optimizer=optimizer, validation={"monitor": "last"})
    killed = tmp_path / "killed"
    with kept_as_if_killed(killed):
        run = train(config, shards, tmp_path / "run")
    kept, meta = checkpoint.load(run.best_file)
    state = final_arrays(run)
    averages = {name: a for name, a in state.items() if name.startswith("generator_optimizer/")}
    for name, array in kept.items():
        assert not np.array_equal(state[f"generator/{name}"], array)
        assert any(np.array_equal(average, array) for average in averages.values()), name
    without = config.model_copy(update={"optimizer": Optimizer(generators="muon")})
    plain = train(without, shards, tmp_path / "plain")
    for name, array in checkpoint.load(plain.best_file)[0].items():
        np.testing.assert_array_equal(state[f"generator/{name}"], array)  # training is the same
    generator = cpce.build_generator(config, "float32")
    quality = Validator(Shards.open(shards), generator, 0).measure(list(kept.values()))
    assert (quality.psnr, quality.ssim) == (meta["row"]["psnr"], meta["row"]["ssim"])
    resumed = train(config, shards, killed / "1")
    for name, array in final_arrays(resumed).items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


# After the warm-up, which leaves the critic alone, and after all epochs but one.
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(finished, killed, shards, tmp_path, epochs):
    shutil.copytree(killed / str(epochs), tmp_path / "run")
    assert len(checkpoint.load(tmp_path / "run" / "checkpoint.npz")[1]["history"]) == epochs
    assert_same_bits(train(quick(), shards, tmp_path / "run"), finished)


def test_a_finished_run_says_so_and_changes_nothing(finished, shards):
    before = finished.checkpoint_file.stat().st_mtime_ns
    console = Console(file=io.StringIO())
    fit(quick(), shards, finished.folder, devices=1, console=console)
    assert "finished" in console.file.getvalue()
    assert finished.checkpoint_file.stat().st_mtime_ns == before


def test_a_finished_run_is_known_without_tensorflow(finished, shards, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(quick(precision="auto")))  # whatever that means here
    command = ["fit", "cpce", shards, "-o", finished.folder, "--recipe", recipe]
    printed, messages, imported, _ = run_alone(*command)
    assert printed == f"run: {finished.folder}\n"
    assert "this run is finished" in messages
    assert "tensorflow" not in imported
    assert "keras" not in imported


def test_a_finished_run_that_is_damaged_is_refused(finished, shards, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.folder, run.folder)
    assert is_finished(run, quick(), shards)
    content = bytearray(run.checkpoint_file.read_bytes())
    content[len(content) // 2] ^= 0x40
    run.checkpoint_file.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=r"checkpoint\.npz: is not a whole checkpoint"):
        train(quick(), shards, run.folder)
    shutil.copy(finished.checkpoint_file, run.checkpoint_file)
    run.best_file.unlink()
    with pytest.raises(CorruptArtefactError, match=r"best\.npz"):
        train(quick(), shards, run.folder)


def test_a_run_that_lost_its_checkpoint_is_not_trained_over(finished, shards, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.folder, run.folder)
    run.checkpoint_file.unlink()
    before = run.best_file.read_bytes()
    with pytest.raises(CorruptArtefactError, match=r"has lost its checkpoint\.npz"):
        train(quick(), shards, run.folder)
    assert run.best_file.read_bytes() == before


def test_a_run_without_its_settings_is_not_gone_on_with(finished, shards, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.folder, run.folder)
    run.config_file.unlink()
    with pytest.raises(CorruptArtefactError, match=r"checkpoint\.npz: is there, but config\.toml"):
        train(quick(seed=7), shards, run.folder)


def test_a_run_is_not_finished_with_other_vgg_weights(finished, shards, tmp_path, monkeypatch):
    """The file that a run was started with is hashed; only another one is read and looked into."""
    run, file = Run(tmp_path / "run"), tmp_path / "vgg.h5"
    shutil.copytree(finished.folder, run.folder)
    config = quick(objective={**QUICK["objective"], "perceptual": 0.1}, vgg_weights=str(file))
    run.config_file.write_text(to_toml(config))
    file.write_bytes(b"weights")
    facts = json.loads(run.facts_file.read_text())
    facts |= {"vgg_sha256": file_sha256(file), "config_sha256": [file_sha256(run.config_file)]}
    run.facts_file.write_text(json.dumps(sealed(facts)))
    looked_at = []

    def look(choice, started):
        looked_at.append(choice)
        return VggWeights(file, "file", "another", 1.0, "", {})

    monkeypatch.setattr(weights, "resolve", look)
    assert is_finished(run, config, shards)
    assert looked_at == []
    file.write_bytes(b"others")
    assert not is_finished(run, config, shards)
    assert looked_at == [str(file)]


def test_auto_vgg_weights_are_those_that_the_run_was_started_with(shards, tmp_path, monkeypatch):
    """Keras's were out of reach when it was started, and are not any more."""
    imagenet, rescaled = (
        VggWeights(tmp_path / kind, kind, sha256, 1.0, kind, {})
        for kind, sha256 in (("imagenet", "1" * 64), ("rescaled", weights.NST_SHA256))
    )
    monkeypatch.setattr(weights, "_imagenet", lambda report: imagenet)
    monkeypatch.setattr(weights, "resolve_rescaled", lambda report: rescaled)
    config = quick(objective={**QUICK["objective"], "perceptual": 0.1}, vgg_weights="auto")
    run = Run(tmp_path / "run")
    assert fitting._vgg(run, config) is imagenet
    run.folder.mkdir()
    run.config_file.write_text(to_toml(config))
    for started, expected in ((imagenet, imagenet), (rescaled, rescaled)):
        run.facts_file.write_text(json.dumps({"vgg_sha256": started.sha256}))
        assert fitting._vgg(run, config) is expected


def test_one_and_two_devices_see_the_same_run(finished, shards, tmp_path):
    # Weights are compared under plain SGD in test_cpce: Adam's first steps turn rounding into
    # signs. The terms of every epoch must agree all the same.
    two = train(quick(), shards, tmp_path / "two", devices=2)
    assert json.loads(two.facts_file.read_text())["replicas"] == 2
    rows = [checkpoint.load(r.checkpoint_file)[1]["history"] for r in (finished, two)]
    for one, other in zip(*rows, strict=True):
        for term in ("critic_loss", "generator_loss", "gradient_penalty", "l1", "psnr", "ssim"):
            if term in one:
                assert other[term] == pytest.approx(one[term], rel=2e-2, abs=1e-3), term


def test_changed_settings_are_refused_with_the_difference(finished, shards):
    with pytest.raises(ConfigError, match="seed: 0 there, 5 asked for"):
        train(quick(seed=5), shards, finished.folder)


def rates(run):
    return [r["learning_rate"] for r in checkpoint.load(run.checkpoint_file)[1]["history"]]


def test_a_finished_run_goes_on_to_more_epochs(shards, tmp_path):
    schedule = {"steps_per_epoch": 1, "learning_rate": 1e-3}
    short, long = (quick(schedule={**schedule, "epochs": n}) for n in (2, 4))
    run = train(short, shards, tmp_path / "run")
    train(long, shards, run.folder)
    assert run.config() == long
    assert rates(run) == pytest.approx([1e-3, 5e-4 * 2, 1e-3, 5e-4])
    assert run.facts()["epochs_before"] == [2]
    assert is_finished(run, long, shards)
    with pytest.raises(ConfigError, match=r"schedule\.epochs: 4 there, 2 asked for"):
        train(short, shards, run.folder)


def test_a_constant_rate_is_extended_to_the_bits_of_the_whole(shards, tmp_path):
    schedule = {"steps_per_epoch": 1, "decay_from": 1.0, "warmup_epochs": 1}
    whole = train(quick(schedule={**schedule, "epochs": 1}), shards, tmp_path / "whole")
    run = train(quick(schedule={**schedule, "epochs": 0}), shards, tmp_path / "run")
    train(quick(schedule={**schedule, "epochs": 1}), shards, run.folder)
    for name, array in final_arrays(whole).items():
        np.testing.assert_array_equal(final_arrays(run)[name], array, err_msg=name)
    best = [checkpoint.load(r.best_file)[1]["epoch"] for r in (whole, run)]
    assert best == [2, 2]


@pytest.mark.parametrize("before", [False, True])
def test_a_kill_between_the_two_files_of_an_extension_does_no_harm(
    finished, shards, tmp_path, monkeypatch, before
):
    shutil.copytree(finished.folder, tmp_path / "run")
    if before:  # there were checksums
        without_checksums(tmp_path / "run")
    write = fitting.write_text

    def killed(path, text, **kwargs):
        if path.name == "config.toml":
            raise KeyboardInterrupt
        write(path, text, **kwargs)

    longer = quick(schedule={**QUICK["schedule"], "epochs": 3})
    monkeypatch.setattr(fitting, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        train(longer, shards, tmp_path / "run")
    monkeypatch.setattr(fitting, "write_text", write)
    assert Run(tmp_path / "run").config() == quick()
    assert train(longer, shards, tmp_path / "run").config() == longer


def test_only_a_finished_run_is_extended_and_by_epochs_alone(finished, killed, shards, tmp_path):
    longer = quick(schedule={**QUICK["schedule"], "epochs": 3})
    shutil.copytree(killed / "3", tmp_path / "run")
    with pytest.raises(ConfigError, match=r"schedule\.epochs: 2 there, 3 asked for"):
        train(longer, shards, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"other settings:\n  seed: 0 there, 1 asked for\nGo on"):
        train(longer.model_copy(update={"seed": 1}), shards, finished.folder)
    assert finished.config() == quick()


def test_other_data_is_refused_for_a_run(finished, shard_maker, tmp_path):
    other = shard_maker(tmp_path / "other", {"a": "train", "b": "train", "c": "val"})
    with pytest.raises(ConfigError, match="data_sha256"):
        train(quick(), other, finished.folder)


def test_a_folder_with_something_else_is_refused_and_left_alone(shards, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ConfigError, match="not a training run"):
        train(quick(), shards, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_nothing_is_written_when_the_shards_are_bad(tmp_path):
    with pytest.raises(BadInputError):
        train(quick(), tmp_path / "absent", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_divide_is_refused_before_anything_is_written(shards, tmp_path):
    with pytest.raises(ConfigError, match="2 devices"):
        train(quick(batch_size=5), shards, tmp_path / "run", devices=2)
    odd = quick(schedule={**QUICK["schedule"], "warmup_batch_size": 3})
    with pytest.raises(ConfigError, match=r"3 pairs .* 2 devices.*schedule\.warmup_batch_size"):
        train(odd, shards, tmp_path / "run", devices=2)
    assert not (tmp_path / "run").exists()


def test_the_checkpoint_of_another_model_is_refused(finished, shards, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for path in finished.folder.iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    checkpoint.save(run / "checkpoint.npz", {"generator/000": np.zeros(3)}, {"history": []})
    with pytest.raises(CorruptArtefactError, match="another model"):
        train(quick(), shards, run)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_guard_names_the_term(value):
    with pytest.raises(DivergedError, match=r"gradient_penalty is (nan|inf) at step 3") as caught:
        Guard().check({"critic_loss": 1.0, "gradient_penalty": value}, 3)
    assert caught.value.exit_code == 6


def test_the_guard_sees_a_dead_generator():
    guard = Guard()
    for step in range(1, DEAD_STEPS):
        guard.check({"sr_max": 0.0}, step)
    with pytest.raises(DivergedError, match="died"):
        guard.check({"sr_max": 0.0}, DEAD_STEPS)


def test_a_few_batches_of_background_are_no_dead_generator():
    guard = Guard()
    for step in range(3 * DEAD_STEPS):
        guard.check({"sr_max": float(step % DEAD_STEPS == 0)}, step)


def test_a_diverging_run_stops_and_keeps_the_last_checkpoint(shards, tmp_path):
    explosive = {**QUICK["schedule"], "critic_epochs": 0, "learning_rate": 1e30}
    with pytest.raises(DivergedError):
        train(quick(schedule=explosive), shards, tmp_path / "run")
    _, meta = checkpoint.load(tmp_path / "run" / "checkpoint.npz")
    assert [row["phase"] for row in meta["history"]] == ["content"]


def test_dead_initial_weights_are_drawn_again(shards, tmp_path, monkeypatch):
    build = cpce.build

    def dead(*args):
        model = build(*args)
        model.generator.set_weights([-np.abs(w) for w in model.generator.get_weights()])
        return model

    monkeypatch.setattr(cpce, "build", dead)
    console = Console(file=io.StringIO())
    config = quick(generator={"shortcut": False}, schedule={"epochs": 0, "warmup_epochs": 1})
    run = fit(config, shards, tmp_path / "run", devices=1, console=console)
    assert "drawing again" in console.file.getvalue()
    assert checkpoint.load(run.checkpoint_file)[1]["history"][0]["sr_max"] > 0


def test_background_in_the_first_batch_is_no_dead_generator(shards, tmp_path, monkeypatch):
    pairs = Shards.pairs

    def background_first(*args, **kwargs):
        data, steps = pairs(*args, **kwargs)
        background = data.take(1).map(lambda *batch: [0 * image for image in batch])
        return background.concatenate(data), steps

    monkeypatch.setattr(Shards, "pairs", background_first)
    console = Console(file=io.StringIO())
    config = quick(schedule={"epochs": 0, "warmup_epochs": 1})
    fit(config, shards, tmp_path / "run", devices=1, console=console)
    assert "drawing again" not in console.file.getvalue()


def test_phases_from_any_epoch_on():
    config = quick()
    assert list(phases(config, 0)) == [
        ("content", range(1)),
        ("critic", range(1, 2)),
        ("adversarial", range(2, 4)),
    ]
    assert list(phases(config, 3)) == [("adversarial", range(3, 4))]
    assert list(phases(config, 4)) == []


def test_auto_precision_is_one_of_the_two():
    assert precision.resolve_precision("auto") in ("float32", "bfloat16")
    assert precision.resolve_precision("float32") == "float32"


def test_a_stop_request_saves_and_the_run_goes_on_to_the_same_bits(
    finished, shards, tmp_path, monkeypatch
):
    # One run, stopped in an epoch of each phase, at last after its last step; the signal is real.
    advance = watch.Bar.advance
    for epoch, step in ((0, 3), (1, 2), (3, 4)):

        def interrupt(self, done, terms, epoch=epoch, step=step):
            advance(self, done, terms)
            if self.epochs_left == 3 - epoch and done == step:
                os.kill(os.getpid(), signal.SIGTERM if epoch else signal.SIGINT)

        monkeypatch.setattr(watch.Bar, "advance", interrupt)
        console = Console(file=io.StringIO())
        with pytest.raises(KeyboardInterrupt):
            fit(quick(), shards, tmp_path, devices=1, console=console)
        assert f"after step {step} of epoch {epoch + 1}" in console.file.getvalue()
        monkeypatch.setattr(watch.Bar, "advance", advance)
    resumed = train(quick(), shards, tmp_path)
    assert_same_bits(resumed, finished)
    rows = checkpoint.load(resumed.checkpoint_file)[1]["history"]
    assert [r["steps"] for r in rows] == [8, 4, 4, 4]


def signals(wanted):
    """A function that sends this process SIGTERM in its call number ``wanted``, counted from 0."""
    calls = itertools.count()

    def call(*_args, **_kwargs):
        if next(calls) == wanted:
            os.kill(os.getpid(), signal.SIGTERM)

    return call


def before(function, call):
    @functools.wraps(function)
    def both(*args, **kwargs):
        call()
        return function(*args, **kwargs)

    return both


# The validation of the second epoch, and that of the last one.
@pytest.mark.parametrize(("validation", "epochs"), [(1, 1), (3, 3)])
def test_a_stop_request_in_a_validation_keeps_the_epoch_and_does_not_wait(
    finished, shards, tmp_path, monkeypatch, validation, epochs
):
    console = Console(file=io.StringIO())
    monkeypatch.setattr(Validator, "measure", before(Validator.measure, signals(validation)))
    with pytest.raises(KeyboardInterrupt):
        fit(quick(), shards, tmp_path, devices=1, console=console)
    assert f"after step 4 of epoch {epochs + 1}" in console.file.getvalue()
    meta = checkpoint.load_meta(tmp_path / "checkpoint.npz")
    assert (len(meta["history"]), meta["steps"]) == (epochs, 4)
    assert_same_bits(train(quick(), shards, tmp_path, estimate=True), finished)


def test_a_stop_request_before_the_first_step_ends_is_not_made_to_wait(
    shards, tmp_path, monkeypatch
):
    monkeypatch.setattr(Engine, "_step", before(Engine._step, signals(0)))
    with pytest.raises(KeyboardInterrupt):
        train(quick(), shards, tmp_path)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_a_stop_request_while_the_last_epoch_is_saved_ends_a_finished_run(
    finished, shards, tmp_path, monkeypatch
):
    monkeypatch.setattr(Journal, "close_epoch", before(Journal.close_epoch, signals(3)))
    with pytest.raises(KeyboardInterrupt):
        train(quick(), shards, tmp_path)
    assert_same_bits(train(quick(), shards, tmp_path), finished)


def test_handlers_are_put_back(finished, shards):
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_that_was_refused_can_be_started_again(shards, tmp_path):
    """Neither TensorBoard's folder nor facts without settings are somebody else's."""
    with pytest.raises(ConfigError):
        train(quick(batch_size=1000), shards, tmp_path / "run", tensorboard=True)
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "run.json").write_text("{}")  # killed before config.toml
    config = quick(schedule={"epochs": 0, "warmup_epochs": 1, "steps_per_epoch": 1})
    run = train(config, shards, tmp_path / "run", tensorboard=True)
    assert run.best_file.is_file()
    assert any((run.folder / "tensorboard").iterdir())


def test_an_estimate_changes_nothing_of_the_run(finished, shards, tmp_path):
    said = io.StringIO()
    console = Console(file=said, width=200)
    run = fit(quick(), shards, tmp_path / "run", devices=1, estimate=True, console=console)
    assert "the training steps left take about 1 min here" in said.getvalue()
    assert_same_bits(run, finished)


@pytest.mark.parametrize("name", ["config.toml", "run.json"])
def test_no_edit_of_a_runs_description_is_believed(finished, shards, tmp_path, name):
    run = Run(tmp_path / "run")
    shutil.copytree(finished.folder, run.folder)
    text = (run.folder / name).read_text()
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    assert len(digits) > 30
    for place in digits:
        edited = f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}"
        (run.folder / name).write_text(edited)
        with pytest.raises((CorruptArtefactError, ConfigError)):
            run.config()
