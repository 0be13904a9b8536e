"""Model cards: what a trained network is, was shown, reaches, and must not be used for.

A card is a TOML file beside the weights. Its figures are computed from shards and evaluations
(`srmri_tf.experiments.model_card`), never typed; ``templates/card.md.j2`` is the page a
person reads. What an exported model says of itself (`Metadata`) carries its card along.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data_prep.errors import ConfigError, CorruptArtefactError
from data_prep.kspace import Degradation

FAR = 1.5
"""How many times above the largest or below the smallest value met in training is far away."""

PERCENTILES = (10, 50, 90, 99)

SHIPPED = Path(__file__).parent / "shipped"
"""``NAME.npz`` and ``NAME.toml`` of every model that comes with the package."""

LIMITS = (
    "Not a diagnostic device: no clinical use, no decision about a patient.",
    "It can invent detail, and it can smooth real detail away, lesions included.",
    "Made for slices whose k-space was cut to the central half of each axis, and nothing else: "
    "not for blur, noise, motion or thick slices.",
    "Measured on few subjects; on scanners, sequences, ages and diseases that are not named here "
    "it is untested.",
)

Interval = tuple[float, float]
Protocol = Literal["crossval", "evaluation", "subset"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Seen(_Section):
    """Subjects and scans that a network has met.

    Args:
        subjects: Labels of the subjects.
        scans: SHA-256 of the scan files; empty where subjects alone are known.
    """

    subjects: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()


class Learnt(_Section):
    """What a network learnt from.

    Args:
        train: What it was trained on.
        val: What its best epoch was chosen on.
    """

    train: Seen = Seen()
    val: Seen = Seen()


class Data(_Section):
    """What a network was trained on.

    Args:
        title: Name of the data set.
        licence: Terms of the data.
        attribution: Whom to name, and where the data are.
        labels: Of the subjects trained on.
        scans: Number of scans of them.
        slices: Number of slices of those.
        manifest_sha256: Of the shards' manifest, which lists every scan with its SHA-256.
        scan_sha256: Of the scan files; empty in cards of before.
    """

    title: str
    licence: str
    attribution: str
    labels: tuple[str, ...] = Field(min_length=1)
    scans: int = Field(ge=1)
    slices: int = Field(ge=1)
    manifest_sha256: str
    scan_sha256: tuple[str, ...] = ()

    @property
    def learnt(self) -> Learnt:
        """The same in the words of a model's description."""
        return Learnt(train=Seen(subjects=self.labels, scans=self.scan_sha256))


class Score(_Section):
    """One measure of the network's output beside its input's.

    Args:
        input: Mean over subjects of the low-resolution input.
        output: The same of the network's output.
        gain: Mean over subjects of the paired differences.
        ci95: 95 % bootstrap interval of the gain over subjects; None for a single subject.
    """

    # Models exported by earlier versions carry an interval over slices, too.
    model_config = ConfigDict(extra="ignore")

    input: float
    output: float
    gain: float
    ci95: Interval | None = None


class Measured(_Section):
    """Gains on subjects that the network, or its like, was not trained on.

    Args:
        protocol: ``crossval``: networks of the same recipe, each measured on the fold it was not
            shown; ``evaluation``: this network on held-out subjects; ``subset``: one of the same
            recipe that was trained on fewer of the subjects, on others.
        command: What measured it.
        data: What it was measured on.
        subjects: Number of subjects measured on.
        slices: Number of slices of them.
        trained_on: The subjects of that one.
        psnr: In dB, range 1.
        ssim: Gaussian 11x11, range 1.
        psnr_consistent: PSNR with the measured centre of k-space put back; None if not measured.
        ssim_consistent: The same of SSIM.
    """

    protocol: Protocol
    command: str
    data: str
    subjects: int = Field(ge=1)
    slices: int = Field(ge=1)
    trained_on: tuple[str, ...] = ()
    psnr: Score
    ssim: Score
    psnr_consistent: Score | None = None
    ssim_consistent: Score | None = None

    @property
    def networks(self) -> str:
        """Which networks were measured on whom."""
        return {
            "crossval": "networks of this recipe, each on the subjects that it was not trained on",
            "evaluation": "this network on subjects that it was not trained on",
            "subset": f"a network of this recipe that was trained on {', '.join(self.trained_on)} "
            "alone",
        }[self.protocol]


class Ranges(_Section):
    """The smallest and the largest value met in training.

    Args:
        in_plane_mm: Spacing of the high-resolution pixels, of rows and columns together.
        slice_mm: Spacing of the slices.
        intensity: Of each low-resolution volume's `head_statistics`, by name.
    """

    in_plane_mm: Interval
    slice_mm: Interval
    intensity: Mapping[str, Interval]

    def out_of_range(
        self, in_plane_mm: Sequence[float], slice_mm: float, intensity: Mapping[str, float]
    ) -> list[str]:
        """What is far from everything met in training, a clause each; empty if nothing is.

        Args:
            in_plane_mm: Row and column spacing of the enhanced grid.
            slice_mm: Spacing of its slices.
            intensity: `head_statistics` of the volume.
        """
        if not intensity:
            return ["no voxel is above zero"]
        found = [("in-plane spacing", value, self.in_plane_mm, " mm") for value in in_plane_mm]
        found.append(("slice spacing", slice_mm, self.slice_mm, " mm"))
        found += [
            (f"{name} of the head's intensities", intensity[name], bounds, " of the maximum")
            for name, bounds in self.intensity.items()
            if name in intensity
        ]
        clauses = [
            f"{what} {value:.3g}{unit}, but {span(bounds)} in training"
            for what, value, bounds, unit in found
            if not bounds[0] / FAR <= value <= bounds[1] * FAR
        ]
        return list(dict.fromkeys(clauses))


class Origin(Seen):
    """The trained network that a run began with (`fit --init`), and what it had met.

    Args:
        subjects: Labels of those that it was trained on, as far as it says.
        scans: SHA-256 of the scan files of those.
        name: What it is called.
        sha256: `digest` of it.
        networks: Which ones took its weights.
    """

    name: str
    sha256: str
    networks: tuple[str, ...] = ("generator",)


class ModelCard(_Section):
    """All that is said of a shipped network.

    Args:
        name: What ``--model`` takes.
        kind: ``cpce`` or ``circle``.
        contrast: Of the training scans, such as T2; of several ``FLAIR, T1, T2``.
        title: What it is, in a line.
        sha256: Of the weights (`digest`).
        degradation: How its low-resolution images were made.
        data: What it was trained on.
        init: What its training began with; None for initial weights of its own.
        measured: What it gains; None if nothing was measured.
        ranges: What it met in training.
        recipe: Its resolved settings, themselves a valid recipe.
        commands: What trains it again, line by line.
        limits: What it must not be used for.
    """

    name: str
    kind: Literal["cpce", "circle"]
    contrast: str
    title: str
    sha256: str
    degradation: Degradation
    data: Data
    init: Origin | None = None
    measured: Measured | None = None
    ranges: Ranges
    recipe: dict[str, Any]
    commands: tuple[str, ...]
    limits: tuple[str, ...] = LIMITS

    @property
    def contrasts(self) -> tuple[str, ...]:
        """The contrasts of the training scans, one by one."""
        return tuple(self.contrast.split(", "))


class Metadata(_Section):
    """The description that travels inside an exported model.

    Args:
        format: Tells our files from others.
        version: Of this description.
        software: What wrote it.
        name: What the model is called.
        kind: ``cpce`` or ``circle``.
        options: Those of its generator that decide what the weights mean.
        degradation: How its low-resolution images were made.
        halo: Pixels around a tile that its outputs depend on.
        multiple: Offsets of tiles must be multiples of it.
        smallest_side: Of the slices that it takes, in pixels; None in files of earlier versions.
        sha256: `digest` of options and weights.
        init: What its training began with; None for initial weights of its own.
        learnt: What it learnt from; None if that is not known, as in files of before.
        card: Its model card, if it has one.
    """

    format: Literal["srmri-tf model"] = "srmri-tf model"
    version: Literal[1] = 1
    software: str
    name: str = Field(min_length=1)
    kind: Literal["cpce", "circle"]
    options: dict[str, Any]
    degradation: Degradation
    halo: int = Field(ge=0)
    multiple: int = Field(ge=1)
    smallest_side: int | None = Field(default=None, ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    init: Origin | None = None
    learnt: Learnt | None = None
    card: ModelCard | None = None

    def to_json(self, indent: int | None = None) -> str:
        """As JSON, which ``model_validate_json`` reads."""
        return self.model_dump_json(exclude_none=True, indent=indent)


def digest(kind: str, options: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a network: the same for every format it is kept in.

    Args:
        kind: ``cpce`` or ``circle``.
        options: Of its generator: with and without a shortcut, equal weights differ in effect.
        weights: Float32 arrays by name; hashed in the order of their names, little-endian.
    """
    heading = {
        "kind": kind,
        "options": dict(options),
        "weights": {name: list(weights[name].shape) for name in sorted(weights)},
    }
    total = hashlib.sha256(json.dumps(heading, sort_keys=True).encode())
    for name in sorted(weights):
        total.update(np.ascontiguousarray(weights[name], "<f4").tobytes())
    return total.hexdigest()


def head_statistics(volume: np.ndarray) -> dict[str, float]:
    """Mean and percentiles of a head's voxels, as parts of the volume's maximum.

    The head is every voxel above a tenth of the 99th percentile of the positive ones: the
    background is left out whatever the scale, and a few very bright voxels do not move the
    threshold.

    Args:
        volume: Any shape and scale, finite.

    Returns:
        ``mean``, ``p10``, ``p50``, ``p90`` and ``p99``; empty if no voxel is positive.
    """
    positive = np.asarray(volume, np.float32)
    positive = positive[positive > 0]
    if not positive.size:
        return {}
    head = positive[positive > 0.1 * np.percentile(positive, 99)] / positive.max()
    values = np.percentile(head, PERCENTILES)
    named = {f"p{p}": float(v) for p, v in zip(PERCENTILES, values, strict=True)}
    return {"mean": float(head.mean(dtype=np.float64)), **named}


def shipped_names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(card.stem for card in SHIPPED.glob("*.toml") if weights_file(card.stem).is_file())


def is_shipped(model: str | Path) -> bool:
    """Whether a MODEL is the name of one that comes with the package; a `Path` is none."""
    return isinstance(model, str) and model in shipped_names()


def weights_file(name: str) -> Path:
    """Where a shipped model's weights are."""
    return SHIPPED / f"{name}.npz"


def card_file(name: str) -> Path:
    """Where its card is."""
    return SHIPPED / f"{name}.toml"


def shipped_card(name: str) -> ModelCard:
    """The card of a model that comes with the package.

    Raises:
        ConfigError: There is none of that name.
        CorruptArtefactError: It cannot be read.
    """
    names = shipped_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"no model named {name} comes with this installation{hint}",
            remedy="List them with `srmri-tf models`",
        )
    return read_card(card_file(name))


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        CorruptArtefactError: It is missing, not TOML, or says something it must not.
    """
    try:
        return ModelCard.model_validate(tomllib.loads(Path(path).read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as error:
        reason = faults(error) if isinstance(error, ValidationError) else error
        raise CorruptArtefactError(
            f"is not a model card ({reason})", path=path, remedy="Install the package again"
        ) from None


def faults(error: ValidationError) -> str:
    """What is wrong and where, in a line."""
    places = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
    return "; ".join(f"{where}: {what}" if where else what for where, what in places)


def to_toml(card: ModelCard) -> str:
    """The card as TOML, which `read_card` reads."""
    import tomli_w

    return tomli_w.dumps(card.model_dump(exclude_none=True, mode="json"))


def markdown(card: ModelCard) -> str:
    """The card as a person reads it."""
    return str(_page().card(card))


def listing(cards: Sequence[ModelCard]) -> str:
    """A table with a line for each card."""
    return str(_page().listing(cards))


def span(bounds: Interval) -> str:
    """A range in words, with three digits; one number if its ends look the same."""
    low, high = (f"{bound:.3g}" for bound in bounds)
    return low if low == high else f"{low} to {high}"


@lru_cache
def _page() -> Any:
    """The template, whose macros write a card and a list of cards."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("srmri_tf.models"),
        autoescape=False,  # Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["span"] = span
    environment.globals["far"] = FAR
    return environment.get_template("card.md.j2").module
