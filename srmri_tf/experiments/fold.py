"""One fold of a cross-validation: trained and measured, or gone on with."""

import dataclasses

from srmri_tf.data.dataset import Shards
from srmri_tf.evaluation import leakage
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.experiments.crossval import Plan, is_done
from srmri_tf.models.stored import read
from srmri_tf.networks.precision import resolve_precision
from srmri_tf.training.fitting import fit


def run_fold(plan: Plan, fold: int) -> None:
    """Train and measure one fold, or go on where it stopped; a finished one is left alone.

    One that is trained, but was not measured in every way that is asked for, is measured again.

    Raises:
        ConfigError: There is no such fold, or it was started with other settings or data.
        BadInputError: It begins with a model that learnt from what the fold is tested on.
        SrmriError: Whatever fit and evaluate raise.
    """
    if is_done(plan, fold):
        return
    run, config = plan.run(fold), plan.config_of(fold)
    config = config.model_copy(update={"precision": resolve_precision(config.precision)})
    if config.init:  # else it would be found out after the training
        shards = Shards.open(plan.shards, fold, config.validation.fold)
        leakage.check(config.init, read(config.init), shards, force=False)
    fit(config, plan.shards, run.folder, devices=plan.devices)
    measured = dataclasses.replace(plan.measured, fold=fold)
    evaluate([run.folder], plan.shards, plan.evaluation(fold), measured)
