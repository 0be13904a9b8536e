"""What a run remembers: means over each epoch, the best generator, the checkpoint, the CSV log."""

import csv
import io
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from data_prep.errors import CorruptArtefactError, DivergedError, EnvironmentFault
from data_prep.files import write_text
from srmri_tf.models import checkpoint
from srmri_tf.models.run import Run
from srmri_tf.recipes.config import TrainConfig
from srmri_tf.training.validation import Quality

Row = dict[str, Any]


@dataclass
class Progress:
    """Where a run is: everything a checkpoint holds beside the weights.

    Args:
        history: One row per finished epoch.
        steps: Steps done of the epoch that is not finished.
        sums: Sums of the terms over those steps.
        overflows: How many of those steps had a gradient norm that is not finite: loss scaling
            skipped them, and the mean of the norm is over the others.
        seconds: Time they took.
    """

    history: list[Row] = field(default_factory=list)
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    overflows: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def epoch(self) -> int:
        """The 0-based epoch that comes next or is under way."""
        return len(self.history)

    def mean(self, term: str) -> float:
        """Of the steps so far in which the term was finite; NaN if there is none."""
        counted = self.steps - self.overflows.get(term, 0)
        return self.sums[term] / counted if counted else math.nan


class Journal:
    """Keeps the progress of a run, and writes it down.

    Args:
        run: Where everything goes.
        config: The run's settings.
        model: Has ``state()`` and ``kept_weights()``.
        writes: Whether this process is the one that writes files.
    """

    def __init__(self, run: Run, config: TrainConfig, model: keras.Model, writes: bool) -> None:
        self.run = run
        self.config = config
        self.model = model
        self.writes = writes
        self.progress = Progress()
        self._since = time.monotonic()

    def restore(self) -> bool:
        """Take up the run's checkpoint, if there is one.

        Raises:
            CorruptArtefactError: It is damaged, or of another model.
        """
        path = self.run.checkpoint_file
        if not path.is_file():
            return False
        arrays, meta = checkpoint.load(path)
        progress = _progress(path, meta)
        stored = "critic_optimizer/000" in arrays or self._critics_have_learnt(progress)
        checkpoint.assign(path, self.model.state(critics=stored), arrays)
        self.progress = progress
        return True

    def save(self) -> None:
        """Write the checkpoint, also in the middle of an epoch.

        Until the critics learn, they are what the seed makes of them and their moments are zero.
        They are by far the largest part, so they are left out.

        Raises:
            DivergedError: A weight is not finite; the checkpoint stays the last good one.
        """
        if self.writes:
            self._check_is_there()
            checkpoint.save(self.run.checkpoint_file, self._state(), asdict(self.progress))

    def _state(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds now, all of it finite."""
        variables = self.model.state(critics=self._critics_have_learnt(self.progress))
        state = {name: np.asarray(v) for name, v in variables.items()}
        for name, array in state.items():
            if not np.isfinite(array).all():
                raise self._diverged(f"{name} is not finite")
        return state

    def _diverged(self, fault: str) -> DivergedError:
        """The error of an epoch that is not kept."""
        good, path = "There is no checkpoint yet", self.run.checkpoint_file
        if path.is_file():
            progress = _progress(path, checkpoint.load_meta(path))
            where = f"step {progress.steps} of epoch {progress.epoch + 1}"
            good = f"{path} is good: it is of " + (
                where if progress.steps else f"the end of epoch {progress.epoch}"
            )
        return DivergedError(
            f"training diverged: {fault} after epoch {self.progress.epoch + 1}, which is not kept",
            remedy=f"{good}; train in another folder with a lower learning rate",
        )

    def _critics_have_learnt(self, progress: Progress) -> bool:
        """Whether any step was of a phase that trains the critics: all but the warm-up."""
        return (progress.epoch, progress.steps) > (self.config.schedule.critics_rest, 0)

    def start_clock(self) -> None:
        """Count the time from now on, on top of what an interrupted epoch took."""
        self._since = time.monotonic() - self.progress.seconds

    def add(self, terms: Mapping[str, float]) -> None:
        """Count one step."""
        progress = self.progress
        progress.steps += 1
        progress.seconds = time.monotonic() - self._since
        for term, value in terms.items():
            counted = math.isfinite(value)
            progress.sums[term] = progress.sums.get(term, 0.0) + (value if counted else 0.0)
            if not counted:
                progress.overflows[term] = progress.overflows.get(term, 0) + 1

    def close_epoch(self, quality: Quality, low_resolution: Quality, validated_on: str) -> Row:
        """Finish the epoch: keep the generator if it is the best, save, rewrite the log.

        Raises:
            DivergedError: A weight or a measure is not finite; nothing is written.
        """
        progress, schedule = self.progress, self.config.schedule
        state = self._state()
        if not math.isfinite(quality.ssim) or math.isnan(quality.psnr):
            raise self._diverged(f"PSNR is {quality.psnr}, SSIM {quality.ssim}")
        row = {
            "epoch": progress.epoch + 1,
            "phase": schedule.phase(progress.epoch),
            "learning_rate": schedule.rate(progress.epoch),
            "steps": progress.steps,
            "seconds": round(progress.seconds, 2),
            "validated_on": validated_on,
            "psnr": quality.psnr,
            "ssim": quality.ssim,
            "lr_psnr": low_resolution.psnr,
            "lr_ssim": low_resolution.ssim,
            **{term: progress.mean(term) for term in progress.sums},
        }
        if self.writes:
            self._check_is_there()
            if self._is_best(row):
                meta = {"epoch": row["epoch"], "row": row}
                checkpoint.save(self.run.best_file, self.model.kept_weights(), meta)
        self.progress = Progress(history=[*progress.history, row])
        if self.writes:
            # Killed in between, the log has a row more than the checkpoint, which is written again.
            write_text(self.run.log_file, _as_csv(self.progress.history))
            checkpoint.save(self.run.checkpoint_file, state, asdict(self.progress))
        return row

    def _check_is_there(self) -> None:
        """A folder that was removed would come back without the run's settings."""
        if not self.run.folder.is_dir():
            raise EnvironmentFault(
                "was removed while it was trained",
                path=self.run.folder,
                remedy="Run the same command again: it begins anew",
            )

    def skip_epoch(self) -> None:
        """Finish the epoch on a worker that does not write: only the count goes on."""
        self.progress = Progress(history=[*self.progress.history, {}])

    def _is_best(self, row: Row) -> bool:
        # Only epochs of the last phase compete: a warm-up's L1 network would win on PSNR, but it
        # is not the GAN that was asked for.
        schedule = self.config.schedule
        last_phase = schedule.phase(schedule.total - 1)
        if row["phase"] != last_phase:
            return False
        monitor = self.config.validation.monitor
        if monitor == "last":
            return True
        rivals = [r[monitor] for r in self.progress.history if r["phase"] == last_phase]
        return all(row[monitor] > rival for rival in rivals)


def _progress(path: Path, meta: Mapping[str, Any]) -> Progress:
    if "history" not in meta or not meta.keys() <= {f.name for f in fields(Progress)}:
        raise CorruptArtefactError(
            f"is no checkpoint of a run: it says {', '.join(sorted(meta)) or 'nothing'}",
            path=path,
            remedy="Restore it from a copy, or train into a new folder",
        )
    return Progress(**meta)


def _as_csv(history: list[Row]) -> str:
    columns: dict[str, None] = {}
    for row in history:
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
