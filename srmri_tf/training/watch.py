"""Watching a run: a live bar, a line per epoch, and TensorBoard."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn

from data_prep.errors import DivergedError, EnvironmentFault
from data_prep.progress import bar

SHORT = {
    "critic_loss": "D",
    "generator_loss": "G",
    "wasserstein": "W",
    "gradient_penalty": "GP",
    "critic_gradient_norm": "|dD|",
    "generator_gradient_norm": "|dG|",
}
DEAD_STEPS: Final = 50
"""After so many steps in a row without any output a generator counts as dead."""


class Guard:
    """Stops at the first step whose terms are not finite, or when the generator has died."""

    def __init__(self) -> None:
        self._zero_steps = 0

    def check(self, terms: Mapping[str, float], step: int) -> None:
        """Look at the terms of the next step.

        Raises:
            DivergedError: Names the term; the last checkpoint is untouched.
        """
        for term, value in terms.items():
            # With loss scaling a gradient may overflow: the optimiser skips that step.
            if not math.isfinite(value) and not term.endswith("_norm"):
                raise DivergedError(
                    f"training diverged: {term} is {value} at step {step} of this epoch",
                    remedy="Train in another folder with a lower learning rate; a checkpoint that "
                    "is there is good",
                )
        # A small batch may hold nothing but background, of which zero is the right answer.
        self._zero_steps = self._zero_steps + 1 if terms.get("sr_max") == 0 else 0
        if self._zero_steps == DEAD_STEPS:
            raise DivergedError(
                f"the generator died: its output was zero in {DEAD_STEPS} steps in a row",
                remedy="Train in another folder with another --seed, or generator.shortcut = true",
            )


class Bar:
    """A live bar per epoch: losses, gradient norms, pairs per second, time left in the run.

    Args:
        console: Where to draw; nothing is drawn if it is not a terminal.
        label: What the bar is of.
        steps: Steps of the epoch.
        first: Steps that an interrupted run had done of it.
        pairs: Pairs per step.
        epochs_left: Epochs after this one, for the time left.
    """

    def __init__(
        self, console: Console, label: str, steps: int, first: int, pairs: int, epochs_left: int
    ) -> None:
        self.steps, self.first, self.pairs, self.epochs_left = steps, first, pairs, epochs_left
        columns = (TextColumn("{task.description}"), BarColumn(10), MofNCompleteColumn())
        self._progress = bar(*columns, TextColumn("{task.fields[note]}"), console=console)
        self._task: TaskID = self._progress.add_task(label, total=steps, completed=first, note="")
        self._started = time.monotonic()

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        # Rich ends even a bar that it never drew with an empty line.
        if not self._progress.disable:
            self._progress.stop()

    def advance(self, done: int, terms: Mapping[str, float]) -> None:
        """Show that ``done`` steps of the epoch are finished."""
        per_step = (time.monotonic() - self._started) / (done - self.first)
        left = per_step * (self.steps - done + self.epochs_left * self.steps)
        shown = [f"{SHORT[k]} {v:.3g}" for k, v in terms.items() if k in SHORT]
        # What matters least comes last: a narrow terminal cuts it off.
        note = "  ".join([f"{_clock(left)} left", f"{self.pairs / per_step:.0f} pairs/s", *shown])
        self._progress.update(self._task, completed=done, note=note)


def epoch_line(row: Mapping[str, Any], total: int) -> str:
    """One line per epoch: losses, and PSNR and SSIM beside the input's."""
    losses = "  ".join(
        f"{label} {row[term]:9.4g}"
        for label, term in (("critic", "critic_loss"), ("generator", "generator_loss"))
        if term in row
    )
    return (
        f"epoch {row['epoch']:3d}/{total} {row['phase']:<11} {losses:<38} "
        f"PSNR {row['psnr']:6.2f} (input {row['lr_psnr']:.2f})  "
        f"SSIM {row['ssim']:.4f} (input {row['lr_ssim']:.4f})  {row['seconds']:.0f} s"
    )


class TensorBoard:
    """Scalars of every epoch, and LR/SR/HR images of some validation slices.

    Args:
        folder: Where the event files go.

    Raises:
        EnvironmentFault: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboard  # noqa: F401
        except ImportError:
            raise EnvironmentFault(
                "TensorBoard is not installed", remedy="pip install 'srmri-tf[tensorboard]'"
            ) from None
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, row: Mapping[str, Any], images: Sequence[np.ndarray]) -> None:
        """Write one epoch.

        Args:
            row: The epoch's row of the log.
            images: (H, W) pictures, LR, SR and HR side by side.
        """
        with self._writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if isinstance(value, float):
                    tf.summary.scalar(name, value)
            for index, image in enumerate(images):
                shown = np.clip(image / max(float(image.max()), 1e-6), 0, 1)
                tf.summary.image(f"LR, SR, HR {index}", shown[None, ..., None])
        self._writer.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
