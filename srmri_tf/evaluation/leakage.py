"""What may stand in one table: no subject learnt from and tested on, one degradation."""

from typing import Any

from data_prep.errors import BadInputError, CorruptArtefactError, what_differs
from srmri_tf.data.dataset import Shards
from srmri_tf.models.run import AGAIN, Run


def check(run: Run, shards: Shards, force: bool) -> list[str]:
    """Refuse a run that these shards cannot measure.

    Args:
        run: A training run.
        shards: Their test split is what it would be measured on.
        force: Measure it all the same, but marked.

    Returns:
        Why its figures are too good, a clause each; empty for an honest run.

    Raises:
        BadInputError: It learnt from a test subject and ``force`` is off, or it learnt another
            degradation.
        CorruptArtefactError: It does not say what it learnt from.
    """
    facts = run.facts()
    if not {"parameters", "subjects"} <= facts.keys():
        raise CorruptArtefactError(
            "does not say what the run was trained on", path=run.facts_file, remedy=AGAIN
        )
    _same_degradation(run, facts["parameters"]["degradation"], shards)
    marks = _leaks(facts["subjects"], facts.get("init") or {}, shards)
    if marks and shards.manifest.split_by == "slice":
        return ["slices were dealt one by one: slices of the test subjects were trained on"]
    if marks and not force:
        raise BadInputError(
            "; ".join(marks),
            path=run.folder,
            remedy="Evaluate on other subjects, train on shards of the same split, or give "
            "--force to have it in the table, marked",
        )
    return marks


def _leaks(subjects: dict[str, list[str]], init: dict[str, Any], shards: Shards) -> list[str]:
    tested = {*shards.manifest.subjects("test")}
    marks = []
    for learnt, verb in (
        (subjects.get("train", ()), "was trained on"),
        (subjects.get("val", ()), "had its best epoch chosen on"),
        (init.get("subjects", ()), f"began with {init.get('name')}, which was trained on"),
    ):
        if seen := sorted(tested & {*learnt}):
            marks.append(f"{verb} subjects that are in the test split: {', '.join(seen)}")
    return marks


def _same_degradation(run: Run, theirs: dict, shards: Shards) -> None:
    ours = shards.manifest.parameters.degradation.model_dump()
    if differing := what_differs(theirs, ours, "in the run", "in the shards"):
        raise BadInputError(
            f"was trained on another degradation than the shards': {'; '.join(differing)}",
            path=run.folder,
            remedy="Prepare the scans with the run's --keep, --keep-by and --lr",
        )
