"""Makes a model card: every figure in it is read from a run, its shards and a measurement."""

import shlex
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from data_prep.errors import BadInputError, ConfigError, SrmriError, what_differs
from data_prep.files import write_text
from data_prep.shards.files import verify, whole_slices
from data_prep.shards.schema import Manifest, Parameters, Shard, SplitRule, manifest_sha256
from srmri_tf.evaluation.baselines import LOW_RESOLUTION
from srmri_tf.evaluation.config import CONSISTENT
from srmri_tf.evaluation.scorefiles import read_slices
from srmri_tf.evaluation.statistics import compare, summarise
from srmri_tf.evaluation.summary import METRICS_NAME, by_subject, read_evaluation
from srmri_tf.experiments.crossval import SUMMARY_NAME, read_finished
from srmri_tf.models.card import (
    Data,
    Interval,
    Measured,
    ModelCard,
    Protocol,
    Ranges,
    Score,
    head_statistics,
    read_card,
    to_toml,
)
from srmri_tf.models.resume import unfinished
from srmri_tf.models.run import EXTENDED, Run
from srmri_tf.models.stored import check_degradation, read
from srmri_tf.recipes import differences

_OF_THE_PLACE = ("fold", "validation.fold", "vgg_weights")
"""Settings that may differ between a run and those that were cross-validated in its stead."""

Values = dict[str, list[float]]  # subject: slices


@dataclass(frozen=True)
class About:
    """What no file says.

    Args:
        title: What the model is, in a line.
        contrast: Of the scans, such as T2; of several ``FLAIR, T1, T2``.
        data: Name of the training data.
        licence: Their terms.
        attribution: Whom to name, and where the data are.
        measured_data: Name of the data that it was measured on; empty if it is the same.
    """

    title: str
    contrast: str
    data: str
    licence: str
    attribution: str
    measured_data: str = ""


def make_card(
    run_folder: Path, shards: Path, about: About, out: Path, measured: Path | None = None
) -> ModelCard:
    """Write the card of a run's network.

    Args:
        run_folder: The RUN folder.
        shards: What it was trained on.
        about: What no file says.
        out: ``NAME.toml``; NAME is what the model will be called.
        measured: An evaluation of this very run, or of one of the same recipe that was trained on
            fewer of its subjects; or a finished cross-validation of its recipe.

    Raises:
        ConfigError: The shards are not those of the run, or the measurement is of another recipe
            or leaks.
        BadInputError: A folder is not what it should be, or a cross-validation is unfinished.
        CorruptArtefactError: A file is damaged.
        EnvironmentFault: The card cannot be written.
    """
    run = Run(Path(run_folder))
    _refuse_to_replace_others(Path(out))
    stored = read(run.folder)
    _refuse_unfinished(run)
    check_degradation(stored, run.folder)
    manifest = _training_shards(run, Path(shards))
    trained = _trained_on(run)
    chosen = [s for s in manifest.of("train") if s.subject in trained]
    name = Path(out).stem
    config = run.config().model_copy(update={"fold": None, "vgg_weights": "auto"})
    card = ModelCard(
        name=name,
        kind=config.model,
        contrast=about.contrast,
        title=about.title,
        sha256=stored.sha256,
        degradation=stored.degradation,
        data=Data(
            title=about.data,
            licence=about.licence,
            attribution=about.attribution,
            labels=tuple(trained),
            scans=len({(s.source, s.source_sha256) for s in chosen}),
            slices=sum(s.slices for s in chosen),
            manifest_sha256=run.facts()["data_sha256"],
            scan_sha256=tuple(sorted({s.source_sha256 for s in chosen})),
        ),
        init=stored.init,
        measured=_measured(run, Path(measured), about, name) if measured else None,
        ranges=_ranges(Path(shards), chosen),
        recipe=config.model_dump(exclude_none=True),
        commands=tuple(_commands(run, manifest, name)),
    )
    write_text(Path(out), to_toml(card))
    return card


def _refuse_to_replace_others(out: Path) -> None:
    """Refuse a name that something else than a card has, such as a recipe."""
    if not out.exists():
        return
    try:
        read_card(out)
    except SrmriError:
        raise ConfigError(
            "is there already, and is no model card", path=out, remedy="Choose another name for -o"
        ) from None


def _refuse_unfinished(run: Run) -> None:
    """Refuse a run that the commands of its card would not train again."""
    if done := unfinished(run):
        raise BadInputError(
            f"has done only {done}",
            path=run.folder,
            remedy="Go on with `srmri-tf fit` until it is finished",
        )


def _training_shards(run: Run, shards: Path) -> Manifest:
    manifest = verify(shards)
    if manifest_sha256(shards) != run.facts()["data_sha256"]:
        raise ConfigError(
            f"are not the shards that {run.folder} was trained on",
            path=shards,
            remedy=f"Give those in {run.facts()['data']}, or prepare the same scans the same way",
        )
    return manifest


def _ranges(folder: Path, shards: Sequence[Shard]) -> Ranges:
    statistics: dict[str, list[float]] = {}
    for shard in shards:
        if not shard.records:
            continue
        volume = np.stack([single.lr for single in whole_slices(folder, shard)])
        # Of the low resolution: that is what the network is given, here and in use.
        for name, value in head_statistics(volume).items():
            statistics.setdefault(name, []).append(value)
    in_plane = [mm for shard in shards for mm in shard.spacing[:2]]
    return Ranges(
        in_plane_mm=_span(in_plane),
        slice_mm=_span([shard.spacing[2] for shard in shards]),
        intensity={name: _span(values) for name, values in statistics.items()},
    )


def _span(values: Sequence[float]) -> Interval:
    low, high = (float(f"{bound:.4g}") for bound in (min(values), max(values)))
    return low, high


def _commands(run: Run, manifest: Manifest, name: str) -> Iterator[str]:
    options = [*_parameter_options(manifest.parameters), *_split_options(manifest.split_rule)]
    if len(manifest.contrasts) > 1:
        options.append("--all-contrasts")
    yield shlex.join(["srmri-tf", "prepare", "SCANS", "-o", "shards", *options])
    yield f"srmri-tf models {name} --recipe > {name}.toml"
    config = run.config()
    fit = f"srmri-tf fit {config.model} shards -o run --recipe {name}.toml"
    fit += "" if config.fold is None else f" --fold {config.fold}"
    yield from (f"{fit} --epochs {epochs}" for epochs in run.facts().get(EXTENDED, ()))
    yield fit


def _parameter_options(parameters: Parameters) -> Iterator[str]:
    usual = Parameters()
    yield from _options(parameters, usual, {"degradation"})
    yield from _options(parameters.degradation, usual.degradation)


def _split_options(rule: SplitRule) -> Iterator[str]:
    if rule.file:
        yield from ("--split", rule.file)
        return
    fractions = {"val_fraction", "test_fraction"} if rule.folds else set()  # folds leave none
    yield from _options(rule, SplitRule(), {"by", *fractions})
    if rule.by == "slice":
        yield "--slice-wise"


def _options(said: BaseModel, usual: BaseModel, left_out: Set[str] = frozenset()) -> Iterator[str]:
    """The options that say what is not as usual."""
    default = usual.model_dump()
    for key, value in said.model_dump(exclude=set(left_out)).items():
        if value != default[key]:
            yield from (f"--{key.replace('_', '-')}", str(value))


def _measured(run: Run, folder: Path, about: About, name: str) -> Measured:
    trained_on: Sequence[str] = ()
    if (folder / SUMMARY_NAME).is_file():
        protocol: Protocol = "crossval"
        evaluations, method = read_finished(folder)[1], run.config().model
        again = "Remove it and run `srmri-tf crossval` again"
        command = f"srmri-tf crossval {method} shards -o crossval --recipe {name}.toml"
        command += _validation(run, [Run(each.parent / method) for each in evaluations])
    elif (folder / METRICS_NAME).is_file():
        found = _like(run, folder)
        evaluations, method = [folder], found.name
        protocol = "evaluation"
        if _trained_on(found) != _trained_on(run):
            protocol, trained_on = "subset", _trained_on(found)
        again = "Run `srmri-tf evaluate` again"
        command = "srmri-tf evaluate run shards -o evaluation"
        document = read_evaluation(folder, again)
        fold, contrast = document.get("fold"), document.get("contrast")
        command += "" if fold is None else f" --fold {fold}"
        command += f" --contrast {shlex.quote(contrast)}" if contrast else ""
    else:
        raise BadInputError(
            "is neither an evaluation nor a cross-validation",
            path=folder,
            remedy="Make one with `srmri-tf evaluate` or `srmri-tf crossval`",
        )
    subjects: set[str] = set()
    for document in (read_evaluation(evaluation, again) for evaluation in evaluations):
        if marks := document["methods"][method]["marks"]:
            raise ConfigError(
                f"has figures of {method} that are too good: it {'; '.join(marks)}",
                path=folder,
                remedy="Measure it on subjects that it was not trained on",
            )
        subjects.update(document["test_subjects"])
    rows = [row for evaluation in evaluations for row in read_slices(evaluation)]
    values = by_subject(rows, ("psnr", "ssim"))
    scores = {
        f"{key}{suffix}": _score(values[LOW_RESOLUTION][key], values[method + row][key])
        for row, suffix in (("", ""), (CONSISTENT, "_consistent"))
        for key in ("psnr", "ssim")
        if method + row in values
    }
    counts = summarise(values[method]["psnr"])
    return Measured(
        protocol=protocol,
        trained_on=tuple(trained_on),
        command=command + (" --consistency" if method + CONSISTENT in values else ""),
        data=f"{about.measured_data or about.data}: {', '.join(sorted(subjects))}",
        subjects=counts.n_subjects,
        slices=counts.n_slices,
        **scores,
    )


def _validation(run: Run, folds: Sequence[Run]) -> str:
    """Says how the folds were validated, if the run, which may have no folds, says otherwise.

    Raises:
        ConfigError: A fold is of another recipe or degradation than the run.
    """
    degradation = run.facts()["parameters"]["degradation"]
    for fold in folds:
        if other := what_differs(fold.facts()["parameters"]["degradation"], degradation):
            raise ConfigError(
                f"was made on shards of another degradation than {run.folder}: {', '.join(other)}",
                path=fold.folder,
                remedy="Cross-validate on shards that were prepared as those of the run",
            )
        changed = differences(fold.config(), run.config())
        if other := [line for line in changed if line.split(":")[0] not in _OF_THE_PLACE]:
            listing = "\n".join(f"  {line}" for line in other)
            raise ConfigError(
                f"was made with another recipe than {run.folder}:\n{listing}\n",
                path=fold.folder,
                remedy="Cross-validate the recipe that the run was trained with",
            )
    theirs = folds[0].config().validation.fold
    return "" if theirs == run.config().validation.fold else f" --set validation.fold={theirs}"


def _like(run: Run, evaluation: Path) -> Run:
    """What an evaluation says of this run; else of one of its recipe with fewer subjects.

    Raises:
        ConfigError: It measured neither, or several of the second kind.
    """

    def contents(of: Run) -> list[bytes]:
        return [f.read_bytes() for f in (of.config_file, of.facts_file, of.log_file) if f.is_file()]

    measured = [Run(folder) for folder in sorted((evaluation / "runs").glob("*"))]
    trained = [each for each in measured if each.facts_file.is_file()]
    if same := [each for each in trained if contents(each) == contents(run)]:
        return same[0]
    like = [each for each in trained if _is_of_fewer_subjects(each, run)]
    if len(like) == 1:
        return like[0]
    raise ConfigError(
        f"did not measure {run.folder} as it is now, nor one run of the same recipe on fewer of "
        "its subjects",
        path=evaluation,
        remedy="Evaluate the finished run again",
    )


def _is_of_fewer_subjects(one: Run, other: Run) -> bool:
    changed = {line.split(":")[0] for line in differences(one.config(), other.config())}
    return (
        changed <= set(_OF_THE_PLACE)
        and one.facts()["parameters"] == other.facts()["parameters"]
        and set(_trained_on(one)) < set(_trained_on(other))
    )


def _trained_on(run: Run) -> list[str]:
    return sorted(run.facts()["subjects"]["train"])


def _score(low: Values, output: Values) -> Score:
    gain = compare(output, low)
    return Score(
        input=summarise(low).mean, output=summarise(output).mean, gain=gain.mean, ci95=gain.ci95
    )
