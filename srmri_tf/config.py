"""What a training run is made of: frozen, validated settings, read from and written to TOML.

A recipe is one TOML file; unknown keys, wrong types and bad ranges are refused all at once, each
with its path. The defaults are the paper's.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data_prep.errors import ConfigError

Precision = Literal["auto", "float32", "bfloat16"]
Phase = Literal["content", "critic", "adversarial"]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Schedule(_Section):
    """How long each phase lasts, and the learning rate of every epoch.

    Args:
        epochs: Epochs of adversarial training.
        learning_rate: Rate of the first epochs.
        decay_from: Fraction of ``epochs`` after which the rate falls linearly towards zero.
        warmup_epochs: Epochs of generator training on mean L1 alone, before anything else.
        warmup_learning_rate: The rate of those.
        critic_epochs: Epochs of critic training alone, after the warm-up.
        steps_per_epoch: End an epoch after so many steps; 0 is one pass over the data.
    """

    epochs: int = Field(100, ge=0)
    learning_rate: Positive = 1e-4
    decay_from: float = Field(0.5, ge=0, le=1)
    warmup_epochs: int = Field(0, ge=0)
    warmup_learning_rate: Positive = 1e-3
    critic_epochs: int = Field(0, ge=0)
    steps_per_epoch: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _some_epochs(self) -> "Schedule":
        if self.total == 0:
            raise ValueError("the schedule has no epochs at all")
        return self

    @property
    def total(self) -> int:
        """Epochs of all phases together."""
        return self.warmup_epochs + self.critic_epochs + self.epochs

    def phase(self, epoch: int) -> Phase:
        """The phase that the 0-based ``epoch`` of the whole run belongs to."""
        if epoch < self.warmup_epochs:
            return "content"
        return "critic" if epoch < self.warmup_epochs + self.critic_epochs else "adversarial"

    def rate(self, epoch: int) -> float:
        """The learning rate of the 0-based ``epoch`` of the whole run.

        Source: the paper, section II.3: 1e-4 for 50 epochs, then linearly to zero over 50.
        """
        phase = self.phase(epoch)
        if phase == "content":
            return self.warmup_learning_rate
        if phase == "critic":
            return self.learning_rate
        done = epoch - self.warmup_epochs - self.critic_epochs
        start = self.decay_from * self.epochs
        if done < start or start == self.epochs:
            return self.learning_rate
        return self.learning_rate * (1 - (done - start) / (self.epochs - start))


class Optimizer(_Section):
    """Adam's decay rates."""

    beta_1: float = Field(0.9, ge=0, lt=1)
    beta_2: float = Field(0.999, ge=0, lt=1)


class CpceObjective(_Section):
    """Weights of the terms of GAN-CPCE's objective (networks.md 3).

    Args:
        adversarial: Weight of -E[D(G(x))].
        perceptual: Weight of the VGG-19 loss, the paper's lambda_p.
        l1: Weight of the per-pixel mean absolute error.
        l2: Weight of the per-pixel mean squared error.
        gradient_penalty: Weight of the penalty in the critic's loss.
        penalty_norm: ``sample``, or ``row`` as in the released code of [23].
        n_critic: Critic updates per generator update, each on a fresh batch.
    """

    adversarial: NonNegative = 1.0
    perceptual: NonNegative = 0.1
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    gradient_penalty: NonNegative = 10.0
    penalty_norm: Literal["sample", "row"] = "sample"
    n_critic: int = Field(4, ge=1)


class CpceGeneratorConfig(_Section):
    """Options of the GAN-CPCE generator.

    Args:
        shortcut: Add the input before the last ReLU.
    """

    shortcut: bool = False


class Validation(_Section):
    """What is measured after every epoch.

    Args:
        max_slices: At most this many slices, evenly spaced; 0 takes them all.
        monitor: The measure that decides which epoch is kept as the best.
    """

    max_slices: int = Field(0, ge=0)
    monitor: Literal["psnr", "ssim"] = "psnr"


class CpceConfig(_Section):
    """A whole GAN-CPCE run.

    Args:
        batch_size: Pairs per update, over all devices together.
        seed: Decides initial weights, data order and the penalty's random numbers.
        precision: ``auto`` is bfloat16 where the processor multiplies it natively, else float32.
        vgg_weights: ``auto``, ``imagenet`` or a file in Keras's layout.
    """

    model: Literal["cpce"] = "cpce"
    batch_size: int = Field(128, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    precision: Precision = "float32"
    vgg_weights: str = "auto"
    generator: CpceGeneratorConfig = CpceGeneratorConfig()
    objective: CpceObjective = CpceObjective()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    validation: Validation = Validation()

    def batches_per_step(self, phase: Phase) -> int:
        """How many batches of ``batch_size`` one call of ``train_step`` takes."""
        return 1 if phase == "content" else self.objective.n_critic


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("srmri_tf") / "recipes"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith("toml"))


def load_recipe(name_or_path: str, overrides: Mapping[str, Any] | None = None) -> CpceConfig:
    """Read a recipe by name or path and lay ``overrides`` (dotted keys) over it.

    Raises:
        ConfigError: No such recipe, not TOML, or any value that is unknown or out of range.
    """
    path, text = _recipe_text(name_or_path)
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML ({error})", path=path) from None
    for dotted, value in (overrides or {}).items():
        *parents, leaf = dotted.split(".")
        section = settings
        for parent in parents:
            section = section.setdefault(parent, {})
        section[leaf] = value
    return parse(settings, path)


def parse(settings: Mapping[str, Any], path: Path) -> CpceConfig:
    """Validate settings, listing every fault.

    Raises:
        ConfigError: Names each faulty key by its path, and the nearest valid key.
    """
    try:
        return CpceConfig.model_validate(settings)
    except ValidationError as error:
        faults = "\n".join(f"  {line}" for line in _faults(error))
        raise ConfigError(f"has settings that cannot be used:\n{faults}\n", path=path) from None


def to_toml(config: CpceConfig) -> str:
    """The resolved settings as TOML: itself a valid recipe."""
    import tomli_w

    return tomli_w.dumps(config.model_dump())


def differences(old: CpceConfig, new: CpceConfig) -> list[str]:
    """One line per setting that differs, as ``path: old -> new``."""
    before, after = (dict(_flatten(c.model_dump())) for c in (old, new))
    return [
        f"{key}: {before.get(key)!r} -> {after.get(key)!r}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _recipe_text(name_or_path: str) -> tuple[Path, str]:
    path = Path(name_or_path)
    if path.suffix != ".toml" and name_or_path in recipe_names():
        resource = resources.files("srmri_tf") / "recipes" / f"{name_or_path}.toml"
        return Path(f"{name_or_path}.toml"), resource.read_text(encoding="utf-8")
    try:
        return path, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        known = ", ".join(recipe_names())
        raise ConfigError(
            "is neither a readable recipe file nor a recipe's name",
            path=path,
            remedy=f"The recipes are: {known}",
        ) from None


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        location = ".".join(str(part) for part in fault["loc"]) or "recipe"
        if fault["type"] != "extra_forbidden":
            yield f"{location}: {fault['msg']}, got {fault['input']!r}"
            continue
        valid = _keys_at(CpceConfig, [str(part) for part in fault["loc"][:-1]])
        near = difflib.get_close_matches(str(fault["loc"][-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(valid)}"
        yield f"{location}: unknown key; {hint}"


def _keys_at(model: type[BaseModel], parents: list[str]) -> list[str]:
    for parent in parents:
        annotation = model.model_fields[parent].annotation
        if get_origin(annotation) in (Union, UnionType):
            annotation = get_args(annotation)[0]
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(model.model_fields)
