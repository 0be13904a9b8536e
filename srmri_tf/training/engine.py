"""The training loop: phases, epochs, steps, and what makes them stop. The same for every model."""

import contextlib
import itertools
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from data_prep.errors import ConfigError, CorruptArtefactError, EnvironmentFault
from srmri_tf.data.dataset import Shards
from srmri_tf.recipes.config import Phase, TrainConfig
from srmri_tf.training import watch
from srmri_tf.training.devices import share
from srmri_tf.training.journal import Journal
from srmri_tf.training.validation import Quality, Validator

Step = Callable[[Any, tf.Tensor], dict[str, float]]
TIMED_STEPS = 2


class Engine:
    """Trains a model from where its journal is to the end of its schedule.

    Args:
        strategy: The devices; the model was built in its scope.
        shards: The data.
        journal: Where the run is, and where its results go.
        validator: Measures the generator after every epoch.
        board: Gets every epoch's row too, if given.
        console: Where progress goes.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        shards: Shards,
        journal: Journal,
        validator: Validator,
        board: watch.TensorBoard | None,
        console: Console,
    ) -> None:
        self.strategy = strategy
        self.shards = shards
        self.journal = journal
        self.config = journal.config
        self.model = journal.model
        self.validator = validator
        self.board = board
        self.console = console
        self._steps: dict[Phase, Step] = {}
        # Several workers must stop after the same step, so none of them may stop by itself.
        self._alone = not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        self._guard = watch.Guard()
        self._unsaved = False  # whether steps were done that are in no checkpoint
        self._measuring = False

    def train(self) -> None:
        """Run every epoch that is left.

        Raises:
            CorruptArtefactError: A shard has gone away or changed.
            DivergedError: A loss term is not finite, or the generator is dead.
            EnvironmentFault: The device has too little memory.
            KeyboardInterrupt: After Ctrl-C or SIGTERM, with everything saved.
        """
        with stop_requests(self._loses_nothing) as stop, library_errors(self.shards.folder):
            for phase, epochs in phases(self.config, self.journal.progress.epoch):
                batches, steps, pairs = self._batches(phase, epochs)
                for epoch in epochs:
                    self._epoch(epoch, steps, pairs, self._step(phase), batches, stop)
        if stop.is_set():
            raise KeyboardInterrupt  # the run is finished, but what would follow it is not wanted

    def _loses_nothing(self) -> bool:
        """Whether to stop at once: nothing is unsaved, or what is being done can be done again."""
        return self._alone and (self._measuring or not self._unsaved)

    def estimate(self) -> float:
        """Seconds that the training steps left will take, from a few timed steps of each phase.

        What those steps change is put back, so the run is the one it would have been.
        """
        state = self.model.state()
        before = {name: np.array(variable) for name, variable in state.items()}
        seconds, going = 0.0, tf.constant(0.0)
        for phase, epochs in phases(self.config, self.journal.progress.epoch):
            batches, steps, _ = self._batches(phase, epochs)
            step, some = self._step(phase), list(itertools.islice(batches, 1 + TIMED_STEPS))
            if len(some) <= TIMED_STEPS:
                continue  # so few are left that they take no time
            step(some[0], going)  # compiles it
            started = time.monotonic()
            for batch in some[1:]:
                step(batch, going)
            seconds += len(epochs) * steps * (time.monotonic() - started) / TIMED_STEPS
        for name, variable in state.items():
            variable.assign(before[name])
        return seconds

    def _batches(self, phase: Phase, epochs: range) -> tuple[Iterator, int, int]:
        """The batches of a phase that are left, steps per epoch, and pairs per step."""
        pairs = self.config.pairs_per_step(phase)
        data, steps = self.shards.pairs(
            pairs,
            self.config.seed,
            epochs,
            max_steps=self.config.steps_per_epoch(phase),
            augmentation=self.config.augmentation,
            paired_share=self.config.paired_share(),
            known_only=phase == "content",
        )
        left = data.skip(self.journal.progress.steps)
        return iter(share(self.strategy, left, pairs)), steps, pairs

    def _step(self, phase: Phase) -> Step:
        """The compiled step of a phase, compiled once."""
        if phase not in self._steps:
            self._steps[phase] = make_step(self.strategy, self.model, phase)
        return self._steps[phase]

    def _epoch(
        self,
        epoch: int,
        steps: int,
        pairs: int,
        step: Step,
        batches: Iterator,
        stop: threading.Event,
    ) -> None:
        schedule, progress = self.config.schedule, self.journal.progress
        rate = schedule.rate(epoch)
        for optimizer in self.model.optimizers():
            optimizer.learning_rate.assign(rate)
        self.journal.start_clock()
        label = f"epoch {epoch + 1}/{schedule.total}"
        left = schedule.total - epoch - 1
        if self._alone and stop.is_set():
            self._stop()
        with watch.Bar(self.console, label, steps, progress.steps, pairs, left) as bar:
            while progress.steps < steps:
                terms = step(next(batches), tf.constant(float(stop.is_set())))
                stopping = terms.pop("stop")
                self._guard.check(terms, progress.steps + 1)
                self.journal.add(terms)
                self._unsaved = True
                bar.advance(progress.steps, terms)
                if stopping or (self._alone and stop.is_set()):
                    self._stop()
        self._close_epoch()

    def _stop(self) -> NoReturn:
        self.journal.save()
        progress = self.journal.progress
        self.console.print(
            f"stopped and saved after step {progress.steps} of epoch {progress.epoch + 1}; "
            "the same command goes on from there",
            soft_wrap=True,
        )
        raise KeyboardInterrupt

    def _close_epoch(self) -> None:
        if not self.journal.writes:
            self.journal.skip_epoch()
            return
        try:
            quality = self._measured()
        except KeyboardInterrupt:  # it is measured when the run goes on
            self._stop()
        row = self.journal.close_epoch(quality, self.validator.low_resolution, self.validator.split)
        self._unsaved = False
        line = watch.epoch_line(row, self.config.schedule.total)
        self.console.print(line, highlight=False, soft_wrap=True)
        if self.board:
            self.board.write(row, self.validator.pictures())

    def _measured(self) -> Quality:
        """Of the generator as it is."""
        self._measuring = True
        try:
            return self.validator.measure(list(self.model.kept_weights().values()))
        finally:
            self._measuring = False


@contextlib.contextmanager
def library_errors(shards: Path) -> Iterator[None]:
    """Turn TensorFlow's errors that are nobody's fault here into ours."""
    try:
        yield
    except (tf.errors.NotFoundError, tf.errors.DataLossError) as error:
        raise CorruptArtefactError(
            f"can no longer be read ({_first_line(error)})",
            path=shards,
            remedy="Prepare the scans again the same way, then run the same command again",
        ) from error
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" in error.message:
            raise
        raise EnvironmentFault(
            f"the device's memory is used up ({_first_line(error)})",
            remedy="Train with a smaller --batch-size in another folder, or on another device",
        ) from error
    except tf.errors.InvalidArgumentError as error:
        unknown = re.search(r"Detected unsupported operations .* on XLA_\w+: (\w+)", error.message)
        if not unknown:
            raise
        raise ConfigError(
            f"XLA cannot compile the operation {unknown[1]} of this recipe's training step",
            remedy="Train in another folder with xla = false, or write your own term without it",
        ) from error


def _first_line(error: tf.errors.OpError) -> str:
    return error.message.strip().partition("\n")[0]


def make_step(strategy: tf.distribute.Strategy, model: keras.Model, phase: Phase) -> Step:
    """Compile one step of a phase over all replicas.

    Args:
        strategy: Whose replicas.
        model: Has ``train_step`` and ``phase``.
        phase: Set on the model while the step is traced: each phase is a graph of its own.

    Returns:
        A function of a distributed batch and a flag, to the means of the terms over replicas and
        ``stop``, which is above zero on every worker as soon as it was on one.
    """

    def replica_step(batch: Any, stop: tf.Tensor) -> tf.Tensor:
        model.phase = phase
        logs = {**model.train_step(batch), "stop": stop}
        names.extend(name for name in logs if name not in names)
        # One vector, so that one reduction serves all terms.
        return tf.stack([tf.cast(logs[name], tf.float32) for name in names])

    names: list[str] = []

    # As in Keras's fit: converting the code would take a fifth of the tracing's time.
    @tf.function(autograph=False)
    def vector_step(batch: Any, stop: tf.Tensor) -> tf.Tensor:
        return strategy.reduce("MEAN", strategy.run(replica_step, (batch, stop)), axis=None)

    def step(batch: Any, stop: tf.Tensor) -> dict[str, float]:
        values = vector_step(batch, stop).numpy().tolist()
        return dict(zip(names, values, strict=True))

    return step


def phases(config: TrainConfig, first: int) -> Iterator[tuple[Phase, range]]:
    """The phases still to come from the 0-based epoch ``first``, each with its epochs."""
    for phase, epochs in config.schedule.phases():
        if first < epochs.stop and epochs:
            yield phase, range(max(first, epochs.start), epochs.stop)


@contextlib.contextmanager
def stop_requests(
    loses_nothing: Callable[[], bool] = lambda: False,
) -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C stops at once.

    Args:
        loses_nothing: Asked when a signal comes: whether to stop at once, since that loses nothing.
    """
    stop = threading.Event()

    def request(number: int, frame: Any) -> None:
        if (stop.is_set() and number == signal.SIGINT) or loses_nothing():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals are the main thread's
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
