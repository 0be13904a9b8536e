"""Models of every format in one table, and what is known of what they learnt from."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from data_prep.errors import BadInputError
from data_prep.kspace import Degradation
from srmri_tf.data.dataset import Shards
from srmri_tf.evaluation import leakage
from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.models import card as cards
from srmri_tf.models import checkpoint
from srmri_tf.models.card import Learnt, Origin, Seen, shipped_card
from srmri_tf.models.stored import read
from srmri_tf.report.page import report
from tests.srmri_tf.evaluation.test_measuring import make_run
from tests.srmri_tf.models.test_card import make_card

BEFORE = Path(__file__).parents[2] / "before"
SHIPPED = "circle-of-three"


def exported(run, path, **changes):
    """A weights file as `export` writes it, without the check by another process."""
    stored = dataclasses.replace(read(run), **changes)
    described = stored.metadata().model_dump(mode="json", exclude_none=True)
    checkpoint.write(path, stored.weights, {"model": described})
    return path


def of_scan(shards, scan):
    """Say that a test subject's scan has that SHA-256."""
    path = shards / "manifest.json"
    manifest = json.loads(path.read_text())
    for shard in manifest["shards"]:
        if shard["split"] == "test":
            shard["source_sha256"] = scan
    path.write_text(json.dumps(manifest))
    return shards


@pytest.fixture(scope="module", autouse=True)
def shipped(tmp_path_factory):
    """A folder of shipped models with one in it, for low resolution as the shards have it."""
    run = BEFORE / "circle"
    subjects, scans = ("openms_patient03", "p1", "p2"), ("c" * 64,)
    learnt = Learnt(train=Seen(subjects=subjects, scans=scans))
    data = make_card().data.model_copy(update={"labels": subjects, "scan_sha256": scans})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "SHIPPED", tmp_path_factory.mktemp("shipped"))
        exported(run, cards.weights_file(SHIPPED), learnt=learnt)
        card = make_card(name=SHIPPED, kind="circle", sha256=read(run).sha256, data=data)
        cards.card_file(SHIPPED).write_text(cards.to_toml(card))
        yield


@pytest.fixture(scope="module")
def result(shards, tmp_path_factory):
    """Two networks of version 0.1, each as a RUN and exported, beside a shipped one."""
    models = [BEFORE / name for name in ("cpce", "model.npz", "model.keras", "circle", "model")]
    out = tmp_path_factory.mktemp("networks") / "out"
    config = EvaluateConfig(bicubic=False, slices="1", consistency=True)
    return evaluate([*models, SHIPPED], shards, out, config)


def test_a_network_has_the_same_row_in_every_format(result):
    methods = result.document["methods"]
    for run, *others in (("cpce", "model.npz", "model.keras"), ("circle", "model")):
        assert methods[run]["kind"] == methods[f"{run}+dc"]["kind"] == "run"
        assert methods[run]["measures"]["psnr"]["mean"] > 0
        for other in others:
            assert methods[other]["kind"] == methods[f"{other}+dc"]["kind"] == "model"
            for key in ("architecture", "sha256", "measures", "subjects"):
                assert methods[other][key] == methods[run][key], (other, key)
    assert methods["cpce"]["architecture"] == "cpce"
    assert methods["cpce"]["measures"] != methods["circle"]["measures"]


def test_the_table_says_which_networks_they_are_and_whose_training_is_unknown(result):
    text = (result.folder / "table.md").read_text()
    card = shipped_card(SHIPPED)
    assert f"| {SHIPPED} | model | circle | {card.sha256[:12]} | 3 |" in text
    assert "| model.npz | model | cpce |" in text
    unknown = [name for name in result.document["methods"] if f"{name} does not say what" in text]
    assert unknown == ["model.npz", "model.keras", "model"]


def test_the_report_shows_what_a_model_says_of_itself(result, tmp_path):
    kept = json.loads((result.folder / "runs" / SHIPPED / "model.json").read_text())
    assert kept["card"]["data"]["labels"] == list(shipped_card(SHIPPED).data.labels)
    page = report(result.folder, tmp_path / "report.html").read_text()
    assert "<summary>Run cpce:" in page
    assert "<summary>Model model.keras:" in page
    assert f"largest gain of {SHIPPED}" in {
        reason for slice_ in result.document["slices"] for reason in slice_["reasons"]
    }


@pytest.mark.parametrize(
    ("split", "fault"),
    [("train", "was trained on subjects.*: s4$"), ("val", "best epoch chosen on subjects.*: s4$")],
)
def test_an_exported_run_still_says_what_it_learnt_from(shards, tmp_path, split, fault):
    run = make_run(tmp_path / "net")
    facts = json.loads((run / "run.json").read_text())
    facts["subjects"][split] = ["s4"]
    (run / "run.json").write_text(json.dumps(facts))
    model = exported(run, tmp_path / "net.npz")
    with pytest.raises(BadInputError) as caught:
        leakage.check(str(model), read(model), Shards.open(shards), force=False)
    assert caught.value.path == model
    assert re.search(fault, caught.value.fault)


def test_a_shipped_model_is_refused_on_its_training_subjects(shard_maker, tmp_path):
    shards = Shards.open(shard_maker(tmp_path / "a", {"openms_patient03": "test", "b": "test"}))
    with pytest.raises(BadInputError, match=rf"{SHIPPED}: was trained on .*: openms_patient03\."):
        leakage.check(SHIPPED, read(SHIPPED), shards, force=False)
    assert leakage.check(SHIPPED, read(SHIPPED), shards, force=True)


def test_and_on_their_scans_under_other_names(shard_maker, tmp_path):
    scan = shipped_card(SHIPPED).data.scan_sha256[0]
    folder = of_scan(shard_maker(tmp_path / "a", {"anna": "test", "b": "train"}), scan)
    with pytest.raises(BadInputError, match=r"test split under other names: anna\.nii\.gz"):
        leakage.check(SHIPPED, read(SHIPPED), Shards.open(folder), force=False)
    other = of_scan(folder, "0" * 64)
    assert leakage.check(SHIPPED, read(SHIPPED), Shards.open(other), force=False) == []


def test_what_a_model_began_with_counts_by_its_scans_too(shard_maker, tmp_path):
    scan = "ab" * 32
    origin = Origin(name="base", sha256="0" * 64, subjects=("zoe",), scans=(scan,))
    model = exported(make_run(tmp_path / "net"), tmp_path / "net.npz", init=origin)
    folder = of_scan(shard_maker(tmp_path / "a", {"anna": "test", "b": "train"}), scan)
    with pytest.raises(BadInputError, match=r"began with base, .* other names: anna"):
        leakage.check(str(model), read(model), Shards.open(folder), force=False)


def test_another_degradation_is_refused_by_the_models_name(shards, tmp_path):
    coarse = {"degradation": Degradation(lr="coarse")}
    model = exported(make_run(tmp_path / "net"), tmp_path / "net.npz", **coarse)
    with pytest.raises(BadInputError, match=r"net\.npz: .*lr: coarse in the model, magnitude"):
        leakage.check(str(model), read(model), Shards.open(shards), force=True)
