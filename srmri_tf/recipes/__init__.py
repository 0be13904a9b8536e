"""Recipes: one page of TOML each, read, checked and written.

Unknown keys, wrong types and bad ranges are refused all at once, each with its path.
"""

import copy
import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from data_prep.errors import ConfigError, what_differs
from srmri_tf.recipes.config import CONFIGS, TrainConfig

RUN_CONFIG = "config.toml"
"""What a RUN calls its own settings."""

_FORMER = {
    "noise": 0.0,
    "noise_share": 1.0,
    "erase": 0.0,
    "objective.penalty_every": 1,
    "objective.shared_batch": False,
}
"""Settings that runs made before may name, with the values they mostly had."""


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files(__name__)
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith("toml"))


def load_recipe(
    name_or_path: str, overrides: Mapping[str, Any] | None = None, model: str = ""
) -> TrainConfig:
    """Read a recipe by name or path and lay ``overrides`` (dotted keys) over it.

    The file is read once, so that it may be a pipe.

    Args:
        name_or_path: Of the recipe.
        overrides: Settings by their dotted keys.
        model: The architecture that the recipe must be for; empty for any.

    Raises:
        ConfigError: No such recipe, not TOML, of another architecture, or any value that is unknown
            or out of range.

    Examples:
        >>> load_recipe("paper-cpce", {"objective.l1": 200.0}).objective.l1
        200.0
        >>> load_recipe("paper-cpce", {"objective.l3": 1.0})
        Traceback (most recent call last):
        data_prep.errors.ConfigError: paper-cpce.toml: has settings that cannot be used:
          objective.l3: unknown key; did you mean l2?
        Correct them, in the file or with --set.
    """
    path, text = recipe_text(name_or_path)
    try:
        settings = tomllib.loads(text)
        if path.name == RUN_CONFIG:
            _drop_former(settings)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"is not valid TOML ({error})", path=path, remedy="Correct that line"
        ) from None
    faults = [fault for pair in (overrides or {}).items() if (fault := _lay_over(settings, *pair))]
    found = settings.get("model")
    if model and isinstance(found, str) and found in CONFIGS.keys() - {model}:
        raise ConfigError(
            f"is for model {found}, not {model}",
            path=path,
            remedy=f"Use `srmri-tf fit {found}` or `crossval {found}`, or give another recipe",
        )
    return parse(settings, path, faults)


def _lay_over(settings: dict[str, Any], dotted: str, value: Any) -> str | None:
    """Set one dotted key; what is wrong with it, if anything is."""
    # An own term is called MODULE:FUNCTION, and a module's name may have dots.
    *parents, leaf = dotted.split(".", 2 if dotted.startswith("objective.own.") else -1)
    section = settings
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            return f"{dotted}: {parent} is a value, not a section"
    section[leaf] = value
    return None


def parse(settings: Mapping[str, Any], path: Path, faults: Sequence[str] = ()) -> TrainConfig:
    """Validate settings, listing every fault.

    Args:
        settings: By section and key, as TOML has them.
        path: The recipe's, for messages.
        faults: Those that were found before.

    Raises:
        ConfigError: Names each faulty key by its path, and the nearest valid key.
    """
    kind = CONFIGS.get(str(settings.get("model")))
    if kind is None:
        raise ConfigError(
            f"has model = {settings.get('model')!r}",
            path=path,
            remedy=f"Known: {', '.join(CONFIGS)}",
        )
    found = [*faults]
    try:
        config = kind.model_validate(settings)
    except ValidationError as error:
        found += _faults(error, kind)
        found += _conflicts_of_the_rest(error, settings, kind)
    if not found:
        return config
    lines = "\n".join(f"  {line}" for line in dict.fromkeys(found))
    raise ConfigError(
        f"has settings that cannot be used:\n{lines}\n",
        path=path,
        remedy="Correct them, in the file or with --set",
    )


def _conflicts_of_the_rest(
    error: ValidationError, settings: Mapping[str, Any], kind: type[TrainConfig]
) -> list[str]:
    """What would be found next: settings that exclude each other are looked for last.

    A conflict that may come of a default in a faulty setting's place is left out.
    """
    rest = copy.deepcopy(dict(settings))
    removed = {str(fault["loc"][-1]) for fault in error.errors() if _remove(rest, fault["loc"])}
    if not removed:
        return []
    try:
        kind.model_validate(rest)
    except ValidationError as conflict:
        return [f for f in _faults(conflict, kind) if not removed & set(re.findall(r"\w+", f))]
    return []


def _remove(settings: dict[str, Any], location: Sequence[int | str]) -> bool:
    """Take a setting out; whether it was there."""
    *parents, leaf = [str(part) for part in location] or [""]
    section: Any = settings
    for parent in parents:
        section = section.get(parent) if isinstance(section, dict) else None
    if not isinstance(section, dict) or leaf not in section:
        return False
    del section[leaf]
    return True


def to_toml(config: TrainConfig) -> str:
    """The resolved settings as TOML: itself a valid recipe."""
    import tomli_w

    return tomli_w.dumps(config.model_dump(exclude_none=True))


def differences(old: TrainConfig, new: TrainConfig) -> list[str]:
    """One line per setting that differs: ``objective.l1: 0.0 there, 2.0 asked for``."""
    return what_differs(old.model_dump(), new.model_dump())


def _drop_former(settings: dict[str, Any]) -> None:
    """Forget settings of a RUN that no longer exist, where they had no effect."""
    for name, value in _FORMER.items():
        *parents, key = name.split(".")
        section: Any = settings
        for parent in parents:
            section = section.get(parent, {})
        if isinstance(section, dict) and section.get(key) == value:
            del section[key]


def recipe_text(name_or_path: str) -> tuple[Path, str]:
    """A recipe's file name and its TOML, by name or path.

    Raises:
        ConfigError: No such recipe.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml" and name_or_path in recipe_names():
        resource = resources.files(__name__) / f"{name_or_path}.toml"
        return Path(f"{name_or_path}.toml"), resource.read_text(encoding="utf-8")
    try:
        return path, path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        known = ", ".join(recipe_names())
        raise ConfigError(
            "is neither a readable recipe file nor a recipe's name",
            path=path,
            remedy=f"The recipes are: {known}",
        ) from None


def _faults(error: ValidationError, kind: type[TrainConfig]) -> Iterator[str]:
    for fault in error.errors():
        location = ".".join(str(part) for part in fault["loc"]) or "recipe"
        if fault["type"] == "value_error":
            yield from str(fault["ctx"]["error"]).splitlines()
            continue
        if fault["type"] != "extra_forbidden":
            yield f"{location}: {fault['msg']}, got {fault['input']!r}"
            continue
        valid = _keys_at(kind, [str(part) for part in fault["loc"][:-1]])
        near = difflib.get_close_matches(str(fault["loc"][-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(valid)}"
        yield f"{location}: unknown key; {hint}"


def _keys_at(model: type[BaseModel], parents: list[str]) -> list[str]:
    for parent in parents:
        section = model.model_fields[parent].annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return []
        model = section
    return sorted(model.model_fields)
