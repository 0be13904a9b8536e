"""Slices to look at: spread over the test set, and each run's best and worst.

They are kept as uint16 codes in ``images.npz``, so that a report needs neither runs nor shards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.shards.patches import evenly_spaced
from data_prep.shards.schema import decode, encode
from srmri_tf import metrics
from srmri_tf.evaluation.baselines import LOW_RESOLUTION
from srmri_tf.evaluation.scores import SliceRow
from srmri_tf.models.checkpoint import DAMAGE

if TYPE_CHECKING:
    from srmri_tf.data.dataset import Shards, SlicePair

FILE = "images.npz"
TRUTH = "truth"
EXTREMES = 2
MOST_SLICES = 50
Place = tuple[str, str, int]


@dataclass
class Exhibit:
    """One slice with every method's image.

    Args:
        subject: Subject label.
        session: Session label, empty if there is none.
        slice: Index in its volume.
        images: (H, W) float32 by method; ``truth`` is the last.
        scores: PSNR and SSIM (range 1, gaussian) by method.
        reasons: Why it is shown.
        spacing: Of rows and of columns in mm.
    """

    subject: str
    session: str
    slice: int
    images: dict[str, np.ndarray]
    scores: dict[str, dict[str, float]]
    reasons: list[str] = field(default_factory=list)
    spacing: tuple[float, float] = (1.0, 1.0)

    @property
    def place(self) -> Place:
        """Where it comes from."""
        return self.subject, self.session, self.slice

    @property
    def label(self) -> str:
        """Where it comes from, to be read and to be given to --slices."""
        return _label(self.place)


@dataclass(frozen=True)
class Survey:
    """What one look at the test slices tells.

    Args:
        maxima: Maximum of the true volume by (subject, session).
        tissue: The slices with tissue, with their mean intensity.
        n_background: How many have none.
    """

    maxima: dict[tuple[str, str], float]
    tissue: list[tuple[Place, float]]
    n_background: int


def survey(shards: "Shards") -> Survey:
    """Look at every test slice once.

    Raises:
        BadInputError: All are background, or there are none.
    """
    maxima: dict[tuple[str, str], float] = {}
    tissue: list[tuple[Place, float]] = []
    n_background = 0
    for pair in shards.slices("test"):
        volume = pair.subject, pair.session
        maxima[volume] = max(maxima.get(volume, 0.0), float(pair.hr.max()))
        if metrics.is_background(pair.hr):
            n_background += 1
        else:
            tissue.append(((*volume, pair.index), float(pair.hr.mean())))
    if not tissue:
        raise BadInputError(
            "has no test slices to measure",
            path=shards.folder,
            remedy="Prepare with --test-fraction above 0, or with --folds and give --fold",
        )
    return Survey(maxima, tissue, n_background)


def choose(wanted: str, seen: Survey) -> dict[Place, str]:
    """The slices to keep, with the reason.

    Args:
        wanted: A number of evenly spaced slices, or ``SUBJECT:INDEX`` or
            ``SUBJECT/SESSION:INDEX``, several with commas between.
        seen: What there is.

    Raises:
        ConfigError: Not of that form, too many, or no such slice.
    """
    places = [place for place, _ in seen.tissue]
    brightest = max(seen.tissue, key=lambda item: item[1])[0]
    if wanted.isdecimal():
        _check_count(int(wanted))
        chosen = {places[i]: "sample" for i in evenly_spaced(len(places), int(wanted))}
    else:
        chosen = dict.fromkeys(find(wanted, places), "asked for")
        _check_count(len(chosen))
    return {**chosen, brightest: "brightest"}


def find(wanted: str, places: Sequence[Place]) -> list[Place]:
    """The places that a list of labels names.

    Raises:
        ConfigError: A label is of no slice.
    """
    by_label = {_label(place): place for place in places}
    found = []
    for label in (part.strip() for part in wanted.split(",")):
        if label not in by_label:
            some = ", ".join(list(by_label)[:3])
            raise ConfigError(
                f"there is no slice {label!r} with tissue to show",
                remedy=f"Give a number, or labels such as {some}",
            )
        found.append(by_label[label])
    return found


def _check_count(count: int) -> None:
    if count > MOST_SLICES:
        raise ConfigError(
            f"{count} slices are too many to show", remedy=f"Give at most {MOST_SLICES}"
        )


class Gallery:
    """Collects slices while they pass; what it holds does not grow with the test set.

    Args:
        chosen: Slices to keep, with the reason.
        runs: Methods whose best and worst slices, by PSNR gain over the input, are kept as well.
    """

    def __init__(self, chosen: Mapping[Place, str], runs: Sequence[str]) -> None:
        self._chosen = dict(chosen)
        self._kept: dict[Place, Exhibit] = {}
        self._extremes: dict[str, list[tuple[float, Exhibit]]] = {
            f"{which} gain of {run}": [] for run in runs for which in ("smallest", "largest")
        }
        self._runs = list(runs)

    def consider(
        self, pair: "SlicePair", images: Mapping[str, np.ndarray], rows: Iterable[SliceRow]
    ) -> None:
        """Look at a slice with tissue."""
        scores = {row.method: {"psnr": row.psnr, "ssim": row.ssim} for row in rows}
        # Copies: a method's image may be part of a batch, which would be kept whole.
        copies = {name: image.copy() for name, image in {**images, TRUTH: pair.hr}.items()}
        place = pair.subject, pair.session, pair.index
        exhibit = Exhibit(*place, copies, scores, spacing=pair.spacing)
        if exhibit.place in self._chosen:
            self._kept[exhibit.place] = exhibit
        for run in self._runs:
            gain = scores[run]["psnr"] - scores[LOW_RESOLUTION]["psnr"]
            for sign, which in ((1, "smallest"), (-1, "largest")):
                rivals = self._extremes[f"{which} gain of {run}"]
                rivals.append((sign * gain, exhibit))
                rivals.sort(key=lambda item: item[0])
                del rivals[EXTREMES:]

    def exhibits(self) -> list[Exhibit]:
        """All of them, each slice once with all its reasons, in the order of place."""
        found = dict(self._kept)
        for place, exhibit in found.items():
            exhibit.reasons = [self._chosen[place]]
        for reason, rivals in self._extremes.items():
            for _, exhibit in rivals:
                found.setdefault(exhibit.place, exhibit).reasons.append(reason)
        return [found[place] for place in sorted(found)]

    def brightest(self) -> Exhibit:
        """The slice with the most signal, whoever wins on it."""
        return next(e for e in self._kept.values() if "brightest" in self._chosen[e.place])


def save(exhibits: Sequence[Exhibit], folder: Path) -> list[dict[str, Any]]:
    """Write the images into ``folder`` and return what metrics.json says about them."""
    arrays = {
        f"{i}/{name}": encode(image)
        for i, exhibit in enumerate(exhibits)
        for name, image in exhibit.images.items()
    }
    np.savez_compressed(folder / FILE, **arrays)  # type: ignore[arg-type]
    return [
        {
            "subject": e.subject,
            "session": e.session,
            "slice": e.slice,
            "reasons": e.reasons,
            "scores": e.scores,
            "spacing": e.spacing,
        }
        for e in exhibits
    ]


def load(folder: Path, entries: Sequence[Mapping[str, Any]]) -> list[Exhibit]:
    """Read what `save` wrote.

    Raises:
        CorruptArtefactError: The file is missing or damaged.
    """
    path = Path(folder) / FILE
    exhibits = [Exhibit(images={}, **entry) for entry in entries]
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                number, _, name = key.partition("/")
                image = arrays[key]
                if not isinstance(image, np.ndarray):  # NumPy's answer to a damaged head
                    raise ValueError(f"{key} is no array")
                exhibits[int(number)].images[name] = decode(image)
    except (IndexError, *DAMAGE) as error:
        raise CorruptArtefactError(
            f"cannot be read ({error})", path=path, remedy="Run `srmri-tf evaluate` again"
        ) from None
    return exhibits


def _label(place: Place) -> str:
    subject, session, index = place
    return f"{subject}{f'/{session}' if session else ''}:{index}"
