"""What happens around the training step: guard, learning rate, log, validation, checkpoint."""

import csv
import io
import math
import time
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep.atomic import write_text
from data_prep.errors import DivergedError
from srmri_tf import checkpoint
from srmri_tf.config import CpceConfig
from srmri_tf.runs import Run, weights_by_name
from srmri_tf.validation import Validator

Row = dict[str, Any]


class Guard(keras.callbacks.Callback):
    """Stops the run at the first step whose terms are not finite, or whose output is all zero."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at every term.

        Raises:
            DivergedError: Names the term; the last checkpoint is untouched.
        """
        for term, value in (logs or {}).items():
            if not math.isfinite(value):
                raise DivergedError(
                    f"training diverged: {term} is {value} at step {batch + 1} of this epoch",
                    remedy="The last checkpoint is good; try a lower learning rate",
                )
        if (logs or {}).get("sr_max") == 0:
            raise DivergedError(
                "the generator died: its output is zero everywhere",
                remedy="Try another --seed, or generator.shortcut = true",
            )


class Bookkeeper(keras.callbacks.Callback):
    """Sets the learning rate, and after every epoch measures, keeps the best and saves.

    Args:
        run: Where everything goes.
        config: The run's settings.
        validator: Measures the generator.
        history: Rows of the epochs that are already done.
        console: Where the table of epochs is printed.
    """

    def __init__(
        self,
        run: Run,
        config: CpceConfig,
        validator: Validator,
        history: list[Row],
        console: Console,
    ) -> None:
        super().__init__()
        self.run = run
        self.config = config
        self.validator = validator
        self.history = history
        self.console = console

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set both optimisers' learning rates."""
        rate = self.config.schedule.rate(epoch)
        self.model.generator_optimizer.learning_rate.assign(rate)
        self.model.critic_optimizer.learning_rate.assign(rate)
        self._sums: dict[str, float] = {}
        self._steps = 0
        self._started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Add up the terms, for their means over the epoch."""
        self._steps += 1
        for term, value in (logs or {}).items():
            self._sums[term] = self._sums.get(term, 0.0) + float(value)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Measure, then save: best generator, checkpoint, log, in this order."""
        seconds = time.monotonic() - self._started
        row = self._row(epoch, seconds)
        self.history.append(row)
        if self._is_best(row):
            arrays = {k: np.asarray(v) for k, v in weights_by_name(self.model.generator).items()}
            checkpoint.save(self.run.best_file, arrays, {"epoch": epoch + 1, "row": row})
        state = {name: np.asarray(v) for name, v in self.model.state().items()}
        checkpoint.save(self.run.checkpoint_file, state, {"history": self.history})
        write_text(self.run.log_file, _as_csv(self.history))
        self._print(row)

    def _row(self, epoch: int, seconds: float) -> Row:
        quality = self.validator.measure(self.model.generator.get_weights())
        lr = self.validator.low_resolution
        means = {term: total / max(self._steps, 1) for term, total in self._sums.items()}
        return {
            "epoch": epoch + 1,
            "phase": self.config.schedule.phase(epoch),
            "learning_rate": self.config.schedule.rate(epoch),
            "steps": self._steps,
            "seconds": round(seconds, 2),
            "validated_on": self.validator.split,
            "psnr": quality.psnr,
            "ssim": quality.ssim,
            "lr_psnr": lr.psnr,
            "lr_ssim": lr.ssim,
            **means,
        }

    def _is_best(self, row: Row) -> bool:
        # Only epochs of the last phase compete: a warm-up's L1 network would win on PSNR, but it
        # is not the GAN that was asked for.
        schedule = self.config.schedule
        last_phase = schedule.phase(schedule.total - 1)
        if row["phase"] != last_phase:
            return False
        monitor = self.config.validation.monitor
        rivals = [r[monitor] for r in self.history[:-1] if r["phase"] == last_phase]
        return all(row[monitor] > rival for rival in rivals)

    def _print(self, row: Row) -> None:
        losses = "  ".join(
            f"{label} {row[term]:9.4g}"
            for label, term in (("critic", "critic_loss"), ("generator", "generator_loss"))
            if term in row
        )
        self.console.print(
            f"epoch {row['epoch']:3d}/{self.config.schedule.total} {row['phase']:<11} {losses:<42} "
            f"PSNR {row['psnr']:6.2f} (input {row['lr_psnr']:.2f})  "
            f"SSIM {row['ssim']:.4f} (input {row['lr_ssim']:.4f})  {row['seconds']:.0f} s",
            highlight=False,
            soft_wrap=True,
        )


class Bar(keras.callbacks.Callback):
    """A live progress bar per epoch with both losses, pairs per second and the time left.

    Args:
        console: Where to draw; nothing is drawn if it is not a terminal.
        total_epochs: For the label.
        pairs_per_step: For the rate.
    """

    def __init__(self, console: Console, total_epochs: int, pairs_per_step: int) -> None:
        super().__init__()
        self.total_epochs = total_epochs
        self.pairs_per_step = pairs_per_step
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start a bar."""
        self._started = time.monotonic()
        self._progress.start()
        self._task = self._progress.add_task(
            f"epoch {epoch + 1}/{self.total_epochs}", total=self.params["steps"], note=""
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Advance it."""
        names = {"critic_loss": "D", "generator_loss": "G"}
        losses = [f"{names[k]} {v:.4g}" for k, v in (logs or {}).items() if k in names]
        rate = (batch + 1) * self.pairs_per_step / (time.monotonic() - self._started)
        note = "  ".join([*losses, f"{rate:.0f} pairs/s"])
        self._progress.update(self._task, completed=batch + 1, note=note)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Take it away."""
        self._progress.remove_task(self._task)
        self._progress.stop()


def _as_csv(history: list[Row]) -> str:
    columns: dict[str, None] = {}
    for row in history:
        columns.update(dict.fromkeys(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
