"""A trained network to be measured, and what is said of it beside its figures."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srmri_tf.models.card import is_shipped
from srmri_tf.models.resume import unfinished
from srmri_tf.models.run import Run
from srmri_tf.models.stored import Stored, read

DESCRIPTION = "model.json"
"""Where an evaluation keeps what an exported model says of itself."""


@dataclass(frozen=True)
class Measured:
    """A trained network to be measured.

    Args:
        name: What tables and files call it: the name of its folder or file, or of a shipped model.
        model: What it was opened from.
        stored: The network.
        run: Where it was trained; None for exported and shipped models.
    """

    name: str
    model: str
    stored: Stored
    run: Run | None

    def description(self) -> dict[str, Any]:
        """What metrics.json says of it."""
        return {
            "kind": "run" if self.run else "model",
            "architecture": self.stored.architecture,
            "sha256": self.stored.sha256,
            "trained_on": self.stored.seen().subjects if self.stored.learnt else None,
        }

    def notes(self) -> Iterator[str]:
        """What must be said below the table."""
        if self.stored.learnt is None:
            yield (
                f"{self.name} does not say what it was trained on: it may have learnt from test "
                "subjects."
            )
        if self.run is not None and (done := unfinished(self.run)):
            yield f"{self.name} is not finished: {done}."

    def keep(self, folder: Path) -> None:
        """Write what a report says of it: settings, facts and log, or its description."""
        folder.mkdir(parents=True)
        if self.run is None:
            text = self.stored.metadata().to_json(indent=2) + "\n"
            (folder / DESCRIPTION).write_text(text, encoding="utf-8")
            return
        for file in (self.run.config_file, self.run.facts_file, self.run.log_file):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)


def open_network(model: str | Path) -> Measured:
    """Read a MODEL: a RUN folder, an exported model or the name of a shipped one.

    Raises:
        BadInputError: There is no such model, or it has no finished epoch.
        CorruptArtefactError: It is damaged.
    """
    stored = read(model)
    if is_shipped(model):
        return Measured(stored.name, stored.name, stored, None)
    run = Run(Path(model))
    return Measured(run.name, str(model), stored, run if run.config_file.is_file() else None)
