"""Folds side by side: a process for each, one GPU for each process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from data_prep.atomic import disk_errors
from data_prep.errors import SrmriError
from srmri_tf.devices import gpu_names
from srmri_tf.engine import stop_requests

_POLL = 0.2  # seconds
# Shells start background jobs deaf to Ctrl-C, but what is passed on here is always meant.
_CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from srmri_tf.cli import main; main()"
)


@dataclass(frozen=True)
class _Fold:
    """One fold's process.

    Args:
        process: In a process group of its own: what Ctrl-C means is decided here, once.
        gpu: The name of the one it sees; empty without GPUs.
        log: Where its messages go, after ``seen`` bytes of earlier attempts'.
        began: Seconds, on the monotonic clock.
    """

    process: subprocess.Popen
    gpu: str
    log: Path
    seen: int
    began: float

    @classmethod
    def begin(cls, arguments: Sequence[str], log: Path, gpu: str) -> "_Fold":
        """Start the command; an empty ``gpu`` leaves the surroundings as they are."""
        with disk_errors(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("ab") as messages:
                process = subprocess.Popen(
                    [sys.executable, "-c", _CODE, *arguments],
                    env={**os.environ, **({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})},
                    stdout=messages,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
                return cls(process, gpu, log, messages.tell(), time.monotonic())

    def last_words(self) -> str:
        """The error it ended with, else its last line."""
        text = self.log.read_bytes()[self.seen :].decode("utf-8", "replace").rstrip()
        _, error, words = text.rpartition("srmri-tf: ")
        return words if error else text.rpartition("\n")[2]


def run_side_by_side(
    arguments: Sequence[str],
    out: Path,
    folds: Sequence[int],
    slots: int,
    console: Console | None = None,
) -> None:
    """Run folds in processes of their own; each writes its messages to ``out/fold-K/log.txt``.

    Args:
        arguments: Of the ``srmri-tf`` command, to which ``--fold K`` is added.
        out: Where the folds' folders are.
        folds: Which to run.
        slots: So many at a time, but no more than there are GPUs, if there are any: TensorFlow
            takes all the memory of one.
        console: Told when a fold begins and ends; stderr by default.

    Raises:
        SrmriError: Folds failed; the others are finished first.
        EnvironmentFault: The disk is full.
        KeyboardInterrupt: Ctrl-C or SIGTERM; training has saved what it can go on from.
    """
    console = console or Console(stderr=True)
    free = (gpu_names() or [""] * slots)[:slots]
    waiting = list(folds)
    running: dict[int, _Fold] = {}
    failed: dict[int, _Fold] = {}
    asked = False
    try:
        with stop_requests() as stop:
            while running or (waiting and not stop.is_set()):
                while waiting and free and not stop.is_set():
                    fold = waiting.pop(0)
                    log = out / f"fold-{fold}" / "log.txt"
                    running[fold] = _Fold.begin([*arguments, "--fold", str(fold)], log, free.pop())
                    console.print(f"fold {fold} begins: {log}", highlight=False, soft_wrap=True)
                time.sleep(_POLL)
                if stop.is_set() and not asked:
                    asked = True
                    for one in running.values():
                        one.process.send_signal(signal.SIGINT)
                for fold in [k for k, one in running.items() if one.process.poll() is not None]:
                    one = running.pop(fold)
                    free.append(one.gpu)
                    if one.process.returncode:
                        failed[fold] = one
                    _tell_end(console, fold, one)
    finally:
        for one in running.values():  # after a second Ctrl-C, or an error here
            one.process.kill()
            one.process.wait()
    if asked:
        raise KeyboardInterrupt
    if failed:
        raise _failure(failed)


def _tell_end(console: Console, fold: int, one: _Fold) -> None:
    code = one.process.returncode
    end = f"ended with exit code {code}" if code else "is done"
    minutes = (time.monotonic() - one.began) / 60
    console.print(f"fold {fold} {end} after {minutes:.1f} minutes", highlight=False)


def _failure(failed: Mapping[int, _Fold]) -> SrmriError:
    """One error for all, of the first one's kind."""
    kinds = {kind.exit_code: kind for kind in SrmriError.__subclasses__()}
    first = next(iter(failed.values()))
    words = "\n".join(
        f"  fold {fold}, exit code {one.process.returncode}: {one.last_words()}"
        for fold, one in failed.items()
    )
    return kinds.get(first.process.returncode, SrmriError)(
        f"{len(failed)} of the folds failed:\n{words}\n",
        path=first.log.parent.parent,
        remedy="All messages are in fold-K/log.txt; the same command goes on with what is left",
    )
