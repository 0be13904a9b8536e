"""What may stand in one table: no subject or scan learnt from and tested on, one degradation."""

from collections.abc import Iterator

from data_prep.errors import BadInputError, what_differs
from srmri_tf.data.dataset import Shards
from srmri_tf.models.card import Learnt, Seen
from srmri_tf.models.stored import Stored


def check(model: str, stored: Stored, shards: Shards, force: bool) -> list[str]:
    """Refuse a network that these shards cannot measure.

    Args:
        model: What it was opened from.
        stored: The network. One that does not say what it learnt from cannot be refused for that.
        shards: Their test split is what it would be measured on.
        force: Measure it all the same, but marked.

    Returns:
        Why its figures are too good, a clause each; empty for an honest one.

    Raises:
        BadInputError: It learnt from a test subject or scan and ``force`` is off, or it learnt
            another degradation.
    """
    _same_degradation(model, stored, shards)
    marks = [*_leaks(stored, shards)]
    if marks and shards.manifest.split_rule.by == "slice":
        return ["slices were dealt one by one: slices of the test subjects were trained on"]
    if marks and not force:
        raise BadInputError(
            "; ".join(marks),
            path=model,
            remedy="Evaluate on other subjects, train on shards of the same split, or give "
            "--force to have it in the table, marked",
        )
    return marks


def _leaks(stored: Stored, shards: Shards) -> Iterator[str]:
    learnt = stored.learnt or Learnt()
    met: list[tuple[Seen, str]] = [
        (learnt.train, "was trained on"),
        (learnt.val, "had its best epoch chosen on"),
    ]
    if stored.init:
        met.append((stored.init, f"began with {stored.init.name}, which learnt from"))
    for seen, verb in met:
        yield from (f"{verb} {what}" for what in _in_test(seen, shards))


def _in_test(seen: Seen, shards: Shards) -> Iterator[str]:
    """What of it is tested on: subjects by their labels, and scans that go by others here."""
    subjects, scans = {*seen.subjects}, {*seen.scans}
    tested = shards.manifest.of("test")
    if labels := sorted({shard.subject for shard in tested} & subjects):
        yield f"subjects that are in the test split: {', '.join(labels)}"
    others = [shard for shard in tested if shard.subject not in subjects]
    if files := sorted({shard.source for shard in others if shard.source_sha256 in scans}):
        yield f"scans that are in the test split under other names: {', '.join(files)}"


def _same_degradation(model: str, stored: Stored, shards: Shards) -> None:
    theirs = stored.degradation.model_dump()
    ours = shards.manifest.parameters.degradation.model_dump()
    if differing := what_differs(theirs, ours, "in the model", "in the shards"):
        raise BadInputError(
            f"was trained on another degradation than the shards': {'; '.join(differing)}",
            path=model,
            remedy="Prepare the scans with the model's --keep, --keep-by and --lr",
        )
