"""What is kept of a trained network, and reading it from every format there is.

A file is only ever read as data: its description and its arrays. The network itself is built here,
so opening a MODEL runs no graph, no configuration and no pickle that came with it, and arrays that
are not those the description was written for are refused.

A shipped model, a weights file and a RUN are read without TensorFlow, which takes seconds to
import; a SavedModel and a ``.keras`` file with it.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.kspace import Degradation
from srmri_tf.models import card as cards
from srmri_tf.models import checkpoint
from srmri_tf.models.card import Learnt, Metadata, ModelCard, Origin, Seen, digest
from srmri_tf.models.run import Run
from srmri_tf.recipes.config import CONFIGS, TrainConfig

if TYPE_CHECKING:
    import keras

MEMBER = "srmri-tf.json"
"""Where a ``.keras`` file, and a SavedModel's ``assets.extra``, keep the description."""

MIN_SIDE = 9
"""The smallest side of a slice that every network can take."""

OWN_TILING = (64, 16)
"""What is assumed of generators of the user's own: see `tiling`."""

LARGEST = 1 << 28
"""Bytes that a model file may unpack to; the largest network there is takes 2.5 MB."""

_WEIGHTS, _VALUE = "weights/", "/.ATTRIBUTES/VARIABLE_VALUE"
_AGAIN = "Export the model again, or restore the file from a copy"
# What zipfile, h5py and Keras raise on archives that are broken or of another kind.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    RuntimeError,
    AttributeError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Stored:
    """What is kept of a network: all that is needed to build it.

    Args:
        name: What it is called.
        architecture: ``cpce`` or ``circle``.
        options: Those of its generator that decide what the weights mean.
        degradation: How its low-resolution images were made.
        weights: Float32 arrays by ``LAYER/VARIABLE``.
        card: Its model card, if it has one.
        init: What its training began with; None for initial weights of its own.
        learnt: What it learnt from, apart from that; None if it does not say.
    """

    name: str
    architecture: str
    options: Mapping[str, Any]
    degradation: Degradation
    weights: Mapping[str, np.ndarray]
    card: ModelCard | None = None
    init: Origin | None = None
    learnt: Learnt | None = None

    @property
    def sha256(self) -> str:
        """`srmri_tf.models.card.digest` of it."""
        return digest(self.architecture, self.options, self.weights)

    def seen(self) -> Seen:
        """All that it was trained on, as far as it says, sorted; also before it was itself."""
        return _together([self.learnt.train if self.learnt else None, self.init])

    def met(self) -> Seen:
        """The same, and what its best epoch was chosen on: all that shaped its weights."""
        return _together([self.seen(), self.learnt.val if self.learnt else None])

    def metadata(self) -> Metadata:
        """The description that goes into every exported format."""
        halo, multiple = tiling(self.architecture, self.options)
        return Metadata(
            software=f"srmri-tf {version('srmri-tf')}",
            name=self.name,
            kind=self.architecture,
            options=dict(self.options),
            degradation=self.degradation,
            halo=halo,
            multiple=multiple,
            smallest_side=MIN_SIDE,
            sha256=self.sha256,
            init=self.init,
            learnt=self.learnt,
            card=self.card,
        )

    def generator(self, precision: str = "float32") -> "keras.Model":
        """Our network with these weights, computing in a precision.

        Raises:
            CorruptArtefactError: The weights are of another network.
        """
        from srmri_tf.networks.precision import POLICIES, resolve_precision
        from srmri_tf.networks.registry import MODELS

        policy = POLICIES[resolve_precision(precision)]
        return self._filled(
            MODELS[self.architecture].build_generator(
                _config(self.architecture, self.options), policy
            )
        )

    def stock(self) -> "keras.Model":
        """The same network of Keras's own layers, in float32; even sides where the stride is 2.

        Raises:
            CorruptArtefactError: The weights are of another network.
        """
        from srmri_tf.networks.registry import plain_model

        return plain_model(self.generator())

    def _filled(self, network: "keras.Model") -> "keras.Model":
        from srmri_tf.networks.gan import variables_by_layer

        checkpoint.assign(Path(self.name), variables_by_layer(network), self.weights)
        return network


def tiling(architecture: str, options: Mapping[str, Any]) -> tuple[int, int]:
    """How far a network's receptive field goes, and where its tiles may begin.

    GAN-CPCE: eight 3x3 layers. GAN-CIRCLE at full size: sixteen 3x3 layers in a row (12 blocks, B2,
    C1, C2 and the output's); with a first stride of 2, output o depends on the inputs from o - 29
    to o + 30.

    Returns:
        The receptive field on each side in pixels, the ``halo``, and the number that tiles'
        offsets must be multiples of.
    """
    if "function" in options:
        return OWN_TILING
    if architecture == "cpce":
        return 8, 1
    return (30, 2) if options["first_stride"] == 2 else (16, 1)


def meaning(config: TrainConfig) -> dict[str, Any]:
    """The generator's settings that matter once it is trained.

    Of one of the user's own only its function: the others are those of the paper's.
    """
    options = config.model_dump()["generator"]
    if options["function"]:
        return {"function": options["function"]}
    return {k: value for k, value in options.items() if k != "dropout" and value is not None}


def read(model: str | Path) -> Stored:
    """Open a MODEL, wherever it is kept; a shipped one's name, as a string, comes before a path.

    Raises:
        BadInputError: There is no such model, it has no finished epoch, or it does not say what
            degradation it was trained on.
        CorruptArtefactError: It is damaged, or its weights are not those it says.
    """
    path = Path(model)
    if cards.is_shipped(model):
        return _shipped(str(model))
    if Run(path).config_file.is_file():
        return _of_run(Run(path))
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    if path.is_file() and path.suffix in (".npz", ".keras"):
        return _npz(path) if path.suffix == ".npz" else _keras(path)
    known = ", ".join(cards.shipped_names()) or "none in this installation"
    raise BadInputError(
        "is not a training run, an exported model or a shipped model's name",
        path=path,
        remedy="Give a RUN folder, a SavedModel folder, a .keras or .npz file that `srmri-tf "
        f"export` wrote, or the name of a shipped model: {known}",
    )


def check_degradation(stored: Stored, model: str | Path) -> None:
    """Refuse a network that does not restore half of each axis of k-space.

    Raises:
        BadInputError: It was trained on another degradation.
    """
    kept = stored.degradation
    if not kept.halves:
        raise BadInputError(
            f"was trained on slices that kept {kept.keep:g} of k-space by {kept.keep_by}, but "
            "twice the matrix needs one that kept half of each axis: 0.25 by area",
            path=model,
            remedy="Train on shards prepared with `--keep 0.25 --keep-by area`, the defaults",
        )


def needs_tensorflow(model: str | Path) -> bool:
    """Whether `read` of a MODEL imports TensorFlow: that of its own formats does."""
    path = Path(model)
    if cards.is_shipped(model) or Run(path).config_file.is_file():
        return False
    return path.suffix == ".keras" or (path / "saved_model.pb").is_file()


def _shipped(name: str) -> Stored:
    stored = replace(_npz(cards.weights_file(name)), name=name)
    card = cards.read_card(cards.card_file(name))
    if card.sha256 != stored.sha256:
        raise CorruptArtefactError(
            "is the card of other weights than those beside it",
            path=cards.card_file(name),
            remedy="Install the package again",
        )
    return replace(stored, card=card, learnt=stored.learnt or card.data.learnt)


def _of_run(run: Run) -> Stored:
    config, weights, facts = run.config(), run.weights(), run.facts()
    try:
        degradation = Degradation.model_validate(facts["parameters"]["degradation"])
        init = Origin.model_validate(facts["init"]) if facts.get("init") else None
        learnt = _learnt(facts)
    except (AttributeError, KeyError, TypeError, ValidationError):
        raise BadInputError(
            "does not say which degradation its network was trained on",
            path=run.facts_file,
            remedy="Train it on shards that `srmri-tf prepare` made",
        ) from None
    return Stored(
        run.name,
        config.model,
        meaning(config),
        degradation,
        weights,
        init=init,
        learnt=learnt,
    )


def _learnt(facts: Mapping[str, Any]) -> Learnt | None:
    """What a run learnt from; runs of version 0.2 and before name subjects alone."""
    if "subjects" not in facts:
        return None
    subjects, scans = facts["subjects"], facts.get("scans", {})
    splits = ("train", "val")
    return Learnt.model_validate(
        {s: {"subjects": subjects.get(s, ()), "scans": scans.get(s, ())} for s in splits}
    )


def _npz(path: Path) -> Stored:
    with _damage(path):
        _check_size(path)
    try:
        arrays, meta = checkpoint.load(path)
    except CorruptArtefactError as error:
        raise CorruptArtefactError(error.fault, path=path, remedy=_AGAIN) from None
    return _checked(path, _described(path, meta.get("model")), arrays)


def _keras(path: Path) -> Stored:
    from srmri_tf.networks.gan import variables_by_layer
    from srmri_tf.networks.registry import MODELS, plain_model

    with _damage(path):
        _check_size(path)
        with zipfile.ZipFile(path) as archive:
            text = archive.read(MEMBER) if MEMBER in archive.namelist() else None
    metadata = _described(path, text)
    with _damage(path):
        network = plain_model(
            MODELS[metadata.kind].build_generator(
                _config(metadata.kind, metadata.options), "float32"
            )
        )
        network.load_weights(path)
        arrays = {name: v.numpy() for name, v in variables_by_layer(network).items()}
    return _checked(path, metadata, arrays)


def refuse_pattern(folder: Path) -> None:
    """Refuse a path that TensorFlow would not find again.

    Raises:
        ConfigError: It has a character of file name patterns.
    """
    if set("*?[") & set(str(folder.resolve())):
        raise ConfigError(
            "has a path with * ? or [, which TensorFlow takes for a pattern",
            path=folder,
            remedy="Choose another folder",
        )


def _saved_model(folder: Path) -> Stored:
    import tensorflow as tf

    refuse_pattern(folder)
    file = folder / "assets.extra" / MEMBER
    metadata = _described(folder, file.read_bytes() if file.is_file() else None)
    with _damage(folder, tf.errors.OpError):
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        arrays = {
            "/".join(
                key.removeprefix(_WEIGHTS).removesuffix(_VALUE).rsplit("_", 1)
            ): reader.get_tensor(key)
            for key in reader.get_variable_to_shape_map()
            if key.startswith(_WEIGHTS)
        }
    return _checked(folder, metadata, arrays)


def _together(found: Iterable[Seen | None]) -> Seen:
    parts = [part for part in found if part]
    return Seen(
        subjects=tuple(sorted({label for part in parts for label in part.subjects})),
        scans=tuple(sorted({scan for part in parts for scan in part.scans})),
    )


def _described(path: Path, said: Any) -> Metadata:
    """The description in a file, once it is known to be one of ours."""
    if not said:
        raise BadInputError(
            "is not a model that `srmri-tf export` wrote: it has no description of its network",
            path=path,
            remedy="Give the RUN folder, or export it again",
        )
    try:
        if isinstance(said, bytes):
            metadata = Metadata.model_validate_json(said)
        else:
            metadata = Metadata.model_validate(said)
        options = meaning(_config(metadata.kind, metadata.options))
    except ValidationError as error:
        raise CorruptArtefactError(
            f"describes its network in a way that cannot be read ({cards.faults(error)})",
            path=path,
            remedy=_AGAIN,
        ) from None
    if "function" in options:
        raise BadInputError(
            f"has a generator of the user's own, {options['function']}, and no code is run because "
            "a file names it",
            path=path,
            remedy="Give the RUN folder that it was exported from",
        )
    if options != metadata.options:
        raise CorruptArtefactError(
            f"describes its network by {sorted(metadata.options)}, not {sorted(options)}",
            path=path,
            remedy=_AGAIN,
        )
    return metadata


def _checked(path: Path, metadata: Metadata, arrays: Mapping[str, np.ndarray]) -> Stored:
    numbers = all(array.dtype.kind == "f" for array in arrays.values())
    if not numbers or digest(metadata.kind, metadata.options, arrays) != metadata.sha256:
        raise CorruptArtefactError(
            "holds other weights than those it was exported with", path=path, remedy=_AGAIN
        )
    return Stored(
        metadata.name,
        metadata.kind,
        metadata.options,
        metadata.degradation,
        arrays,
        metadata.card,
        metadata.init,
        metadata.learnt or (metadata.card.data.learnt if metadata.card else None),
    )


def _config(architecture: str, options: Mapping[str, Any]) -> TrainConfig:
    """The recipe of a network for inference, which drops nothing."""
    dropout = {"dropout": 0.0} if architecture == "circle" else {}
    return CONFIGS[architecture].model_validate(
        {"model": architecture, "generator": {**options, **dropout}}
    )


def _check_size(path: Path) -> None:
    """Refuse an archive that would unpack to more than any network takes, before it does."""
    with zipfile.ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > LARGEST:
        raise ValueError(f"it unpacks to {size} bytes")


@contextmanager
def _damage(path: Path, *more: type[Exception]) -> Iterator[None]:
    kinds: tuple[type[Exception], ...] = (*_DAMAGE, *more)
    try:
        yield
    except kinds as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
        raise CorruptArtefactError(
            f"cannot be read as a model ({reason})", path=path, remedy=_AGAIN
        ) from None
