"""What a run remembers of its steps, against hand-worked means."""

import math

from srmri_tf.training.journal import Journal


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
