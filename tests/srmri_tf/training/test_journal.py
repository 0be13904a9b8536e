"""What a run remembers of its steps, against hand-worked means."""

import math
import shutil
from dataclasses import asdict

import numpy as np
import pytest

from data_prep.errors import CorruptArtefactError, DivergedError, EnvironmentFault
from srmri_tf.models import checkpoint
from srmri_tf.models.run import Run
from srmri_tf.networks import cpce
from srmri_tf.recipes.config import CpceConfig
from srmri_tf.training.journal import Journal, Progress
from srmri_tf.training.validation import Quality

CONFIG = CpceConfig(
    objective={"perceptual": 0}, schedule={"warmup_epochs": 2, "critic_epochs": 1, "epochs": 1}
)
GENERATOR = {"generator", "generator_optimizer"}
ALL = {*GENERATOR, "critic", "critic_optimizer"}


def journal_of(*norms: float) -> Journal:
    journal = Journal(run=None, config=None, model=None, writes=False)
    for norm in norms:
        journal.add({"generator_loss": 2.0, "generator_gradient_norm": norm})
    return journal


def test_a_step_that_loss_scaling_skipped_does_not_spoil_the_mean_norm_of_its_epoch():
    progress = journal_of(1.0, math.inf, math.nan, 4.0).progress
    assert progress.mean("generator_gradient_norm") == 2.5
    assert progress.mean("generator_loss") == 2.0  # over all four steps
    assert progress.overflows == {"generator_gradient_norm": 2}


def test_a_norm_that_overflowed_in_every_step_has_no_mean():
    assert math.isnan(journal_of(math.nan).progress.mean("generator_gradient_norm"))


def journal_in(folder) -> Journal:
    model = cpce.build(CONFIG, (16, 16), None, "float32")
    return Journal(Run(folder), CONFIG, model, writes=True)


@pytest.mark.parametrize(
    ("epochs", "steps", "kept"),
    [
        (0, 5, GENERATOR),
        (1, 0, GENERATOR),
        (2, 0, GENERATOR),
        (2, 1, ALL),
        (3, 0, ALL),
        (4, 0, ALL),
    ],
)
def test_critics_are_kept_from_their_first_step_on(tmp_path, epochs, steps, kept):
    journal = journal_in(tmp_path)
    journal.progress = Progress(history=[{}] * epochs, steps=steps)
    journal.save()
    arrays, _ = checkpoint.load(journal.run.checkpoint_file)
    assert {name.split("/")[0] for name in arrays} == kept
    for variable in journal.model.state().values():
        variable.assign(np.ones(variable.shape))
    assert journal.restore()
    for name, variable in journal.model.state().items():  # what was not kept is left alone
        expected = arrays.get(name, np.ones(variable.shape))
        np.testing.assert_array_equal(variable, expected, err_msg=name)


def test_critics_that_are_kept_although_they_have_not_learnt_are_taken_up(tmp_path):
    """As they were in every checkpoint before they were left out."""
    journal = journal_in(tmp_path)
    state = {name: np.ones(v.shape, np.float32) for name, v in journal.model.state().items()}
    checkpoint.save(journal.run.checkpoint_file, state, asdict(Progress(history=[{}])))
    assert journal.restore()
    assert journal.progress.epoch == 1
    assert all((variable.numpy() == 1).all() for variable in journal.model.state().values())


def test_the_best_generator_in_the_place_of_the_checkpoint_is_refused(tmp_path):
    journal, quality = journal_in(tmp_path), Quality(30.0, 0.9)
    journal.progress = Progress(history=[{"phase": "content"}] * 3, steps=1)
    journal.close_epoch(quality, quality, "val")
    shutil.copy(journal.run.best_file, journal.run.checkpoint_file)
    with pytest.raises(CorruptArtefactError, match=r"checkpoint\.npz: is no checkpoint of a run"):
        journal.restore()


def test_a_run_that_was_removed_does_not_come_back_without_its_settings(tmp_path):
    journal, quality = journal_in(tmp_path / "run"), Quality(30.0, 0.9)
    journal.progress = Progress(history=[{"phase": "content"}] * 3, steps=1)
    for write in (journal.save, lambda: journal.close_epoch(quality, quality, "val")):
        with pytest.raises(EnvironmentFault, match="was removed while it was trained"):
            write()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("where", ["generator", "generator_optimizer"])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, where):
    journal, quality = journal_in(tmp_path), Quality(30.0, 0.9)
    journal.progress = Progress(steps=1)
    journal.close_epoch(quality, quality, "val")
    good = journal.run.checkpoint_file.read_bytes()
    name = next(n for n in journal.model.state() if n.startswith(f"{where}/") and "000" not in n)
    variable = journal.model.state()[name]
    variable.assign(np.full(variable.shape, np.nan))
    journal.progress.steps = 1
    with pytest.raises(DivergedError, match=rf"{name} is not finite after epoch 2") as caught:
        journal.save()
    assert caught.value.exit_code == 6
    with pytest.raises(DivergedError, match="is good: it is of the end of epoch 1"):
        journal.close_epoch(quality, quality, "val")
    assert journal.run.checkpoint_file.read_bytes() == good


def test_an_epoch_that_cannot_be_measured_is_not_kept(tmp_path):
    journal = journal_in(tmp_path)
    journal.progress = Progress(history=[{}] * 3, steps=1)
    with pytest.raises(DivergedError, match=r"PSNR is nan, SSIM 0\.5 after epoch 4"):
        journal.close_epoch(Quality(math.nan, 0.5), Quality(30.0, 0.9), "val")
    assert list(tmp_path.iterdir()) == []
