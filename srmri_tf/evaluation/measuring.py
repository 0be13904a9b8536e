"""`evaluate`: every method on every test slice, beside the low-resolution input.

Writes ``metrics.json``, ``slices.tsv``, ``volumes.tsv``, ``table.md``, ``table.tex``,
``figure.png`` and what a report needs: ``images.npz`` and ``runs/``. docs/evaluation.md says what
is in each.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import ConfigError, EnvironmentFault
from data_prep.files import SEAL, atomic_folder, plain
from data_prep.kspace import Degradation, consistent, consistent_with_scan
from srmri_tf.data.dataset import Shards, SlicePair, refuse_small
from srmri_tf.evaluation import gallery, leakage, tables
from srmri_tf.evaluation.baselines import BICUBIC, LOW_RESOLUTION, bicubic, small_image
from srmri_tf.evaluation.config import CONSISTENT, EvaluateConfig
from srmri_tf.evaluation.figure import comparison
from srmri_tf.evaluation.networks import Measured, open_network
from srmri_tf.evaluation.scorefiles import SLICES_NAME, VOLUMES_NAME, write_rows
from srmri_tf.evaluation.scores import FeatureDistance, Scorer, SliceRow
from srmri_tf.evaluation.summary import (
    FIGURE_NAME,
    document_of,
    refuse_others,
    write_document,
)
from srmri_tf.models.plausible import implausible
from srmri_tf.networks.precision import has_gpu
from srmri_tf.networks.registry import SuperResolve, super_resolver
from srmri_tf.networks.vgg19.features import LEAST_SIDE, build_features
from srmri_tf.networks.vgg19.weights import resolve

BATCH = 4
NO_DISTANCE = "VGG distance not measured; --perceptual does, slowly where there is no GPU."

Progress = Callable[[int, int, str], None]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found and where it is."""

    folder: Path
    document: Mapping[str, Any]

    @property
    def figure(self) -> Path:
        """The comparison picture."""
        return self.folder / FIGURE_NAME

    @property
    def table(self) -> str:
        """The main table with its notes, as Markdown."""
        return tables.markdown(tables.main_table(plain(self.document)))


def evaluate(
    models: Sequence[str | Path],
    shards_folder: Path,
    out: Path,
    config: EvaluateConfig | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure networks on the test subjects of a shard folder.

    Slices are read, enhanced and scored a few at a time; what stays in memory is some hundred
    bytes a slice and method, and the slices to look at.

    Args:
        models: RUN folders, exported models and names of shipped ones.
        shards_folder: What `srmri-tf prepare` wrote.
        out: Where the results go; an earlier evaluation there is replaced as a whole.
        config: What else to measure; the defaults are quick.
        progress: Told the slices done, the slices there are, and the subject.

    Raises:
        ConfigError: Two models of one name, or ``out`` holds something else.
        BadInputError: No such model, no test slices, or a model trained on a test subject or scan
            or on another degradation.
        CorruptArtefactError: Shards or weights are damaged.
        EnvironmentFault: The disk is full, or VGG weights that were asked for cannot be had.
    """
    config = config or EvaluateConfig()
    refuse_others(Path(out), comparison=False)
    networks = _opened(models, config.consistency)
    shards = Shards.open(shards_folder, fold=config.fold, contrast=config.contrast)
    refuse_small(shards.folder, shards.manifest.of("test"))
    marks = {n.name: leakage.check(n.model, n.stored, shards, config.force) for n in networks}
    marks |= {name + CONSISTENT: why for name, why in marks.items() if config.consistency}
    generators = {network.name: network.stored.generator() for network in networks}
    seen = gallery.survey(shards)
    distance, notes = _distance(config)
    notes += [note for network in networks for note in network.notes()]
    if config.contrast:
        notes.append(f"Only test scans of contrast {config.contrast}.")
    if distance:
        refuse_small(shards.folder, shards.manifest.of("test"), LEAST_SIDE, "VGG-19")
    methods = _methods(generators, shards, config)
    scorer = Scorer(shards.manifest.parameters.degradation, distance)
    looks = gallery.Gallery(gallery.choose(config.slices, seen), list(generators))
    slices = list(_measure(methods, shards, scorer, looks, seen, progress))
    document = document_of(
        slices,
        scorer.volumes(),
        marks,
        shards,
        fold=config.fold,
        contrast=config.contrast,
        licence=config.licence,
    )
    _describe(document["methods"], networks)
    document["notes"] = notes
    with atomic_folder(Path(out)) as folder:
        exhibits = looks.exhibits()
        document["slices"] = gallery.save(exhibits, folder)
        comparison(looks.brightest(), folder / FIGURE_NAME, marked=[m for m in marks if marks[m]])
        for network in networks:
            network.keep(folder / "runs" / network.name)
        left_out = () if distance else ("vgg",)
        write_rows(folder / SLICES_NAME, slices, left_out)
        write_rows(folder / VOLUMES_NAME, scorer.volumes(), left_out)
        document[SEAL] = write_document(folder, document)[SEAL]
    return Evaluation(Path(out), document)


def _opened(models: Sequence[str | Path], consistency: bool) -> list[Measured]:
    opened = [open_network(model) for model in models]
    names = [LOW_RESOLUTION, *(network.name for network in opened), BICUBIC, gallery.TRUTH]
    names += [network.name + CONSISTENT for network in opened if consistency]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"two methods have one name: {', '.join(names)}",
            remedy="Rename a run's folder or a model's file",
        )
    return opened


def _describe(methods: dict[str, dict[str, Any]], networks: Sequence[Measured]) -> None:
    """Say of every method that is a network which one it is."""
    for network in networks:
        methods[network.name] |= network.description()
        if network.name + CONSISTENT in methods:
            methods[network.name + CONSISTENT]["kind"] = methods[network.name]["kind"]


def _distance(config: EvaluateConfig) -> tuple[FeatureDistance | None, list[str]]:
    """The VGG distance, or a note that says why there is none."""
    asked = config.perceptual
    if not asked and (asked is False or not has_gpu()):
        return None, [NO_DISTANCE]
    try:
        weights = resolve(config.vgg_weights)
    except EnvironmentFault as error:
        if asked:
            raise
        return None, [f"VGG distance not measured: {error.fault}."]
    return FeatureDistance(build_features(weights)), [f"VGG distance: {weights.description}."]


def _methods(
    generators: Mapping[str, Any], shards: Shards, config: EvaluateConfig
) -> dict[str, SuperResolve]:
    degradation = shards.manifest.parameters.degradation
    methods: dict[str, SuperResolve] = {LOW_RESOLUTION: lambda slices: slices}
    for name, network in generators.items():
        methods[name] = super_resolve = _Remembering(super_resolver(network, BATCH))
        if config.consistency:
            methods[name + CONSISTENT] = _as_enhanced(super_resolve, degradation)
    if config.bicubic:
        methods[BICUBIC] = lambda slices: np.stack([bicubic(lr, degradation) for lr in slices])
    return methods


class _Remembering:
    """A method that knows its last output, for those that go on from it."""

    def __init__(self, super_resolve: SuperResolve) -> None:
        self._super_resolve = super_resolve
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        if self._last is None or self._last[0] is not slices:
            self._last = slices, self._super_resolve(slices)
        return self._last[1]


def _as_enhanced(super_resolve: SuperResolve, degradation: Degradation) -> SuperResolve:
    """What `enhance` makes of a network's output: implausible pixels not, k-space put back."""

    def enhanced(slices: np.ndarray) -> np.ndarray:
        output = super_resolve(slices)
        output = np.where(implausible(output - slices, slices), slices, output)
        if degradation.lr != "coarse":
            return consistent(output, slices, degradation)
        scan = np.stack([small_image(lr, degradation) for lr in slices])
        return consistent_with_scan(output, scan, degradation)

    return enhanced


def _measure(
    methods: Mapping[str, SuperResolve],
    shards: Shards,
    scorer: Scorer,
    looks: gallery.Gallery,
    seen: gallery.Survey,
    progress: Progress | None,
) -> Iterator[SliceRow]:
    total, done = len(seen.tissue) + seen.n_background, 0
    for batch in _batches(shards.slices("test")):
        lr = np.stack([pair.lr for pair in batch])
        outputs = {name: super_resolve(lr) for name, super_resolve in methods.items()}
        for i, pair in enumerate(batch):
            images = {name: output[i] for name, output in outputs.items()}
            rows = scorer.slice(pair, images, seen.maxima[pair.subject, pair.session])
            if not rows[0].background:
                looks.consider(pair, images, rows)
            yield from rows
            done += 1
            if progress:
                progress(done, total, pair.subject)


def _batches(pairs: Iterable[SlicePair]) -> Iterator[list[SlicePair]]:
    """A few slices of one size at a time."""
    batch: list[SlicePair] = []
    for pair in pairs:
        if batch and (len(batch) == BATCH or pair.lr.shape != batch[0].lr.shape):
            yield batch
            batch = []
        batch.append(pair)
    if batch:
        yield batch
