"""Folds: who is trained on and tested, going on where it stopped, and the summary."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError
from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.experiments import fold as folding
from srmri_tf.experiments.crossval import Plan, is_done, read_finished, summarise_folds
from srmri_tf.experiments.fold import run_fold
from srmri_tf.recipes import to_toml
from srmri_tf.recipes.config import CircleConfig, CpceConfig
from tests.srmri_tf.cli.test_cli import run_alone
from tests.srmri_tf.conftest import without_checksums

pytestmark = pytest.mark.usefixtures("small_networks")
SETTINGS = {
    "batch_size": 2,
    "generator": {"shortcut": True},
    "objective": {"perceptual": 0},
    "schedule": {"epochs": 0, "warmup_epochs": 1, "steps_per_epoch": 1},
}


@pytest.fixture(scope="module")
def folded(tmp_path_factory):
    """Three subjects, one in each fold; every one stored as patches, as `prepare --folds` does."""
    from tests.srmri_tf.conftest import make_shards

    subjects = ("s1", "s2", "s3")
    folder = make_shards(
        tmp_path_factory.mktemp("folds") / "shards", dict.fromkeys(subjects, "train"), slices=2
    )
    manifest = json.loads((folder / "manifest.json").read_text())
    for fold, shard in enumerate(manifest["shards"]):
        shard["fold"] = fold
    manifest["split_rule"] = {"folds": 3}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def plan(folded, tmp_path_factory):
    out = tmp_path_factory.mktemp("crossval") / "out"
    return Plan(
        CpceConfig(**SETTINGS), folded, out, measured=EvaluateConfig(bicubic=False, slices="1")
    )


@pytest.fixture(scope="module")
def finished(plan):
    run_fold(plan, 1)
    incomplete = summarise_folds(plan)[1]
    for fold in (0, 2):
        run_fold(plan, fold)
    return plan, incomplete, summarise_folds(plan)


def test_every_subject_is_tested_once_and_never_trained_on(finished):
    plan = finished[0]
    tested = []
    for fold in range(3):
        facts = json.loads((plan.folder(fold) / "cpce" / "run.json").read_text())
        document = json.loads((plan.folder(fold) / "evaluation" / "metrics.json").read_text())
        assert not {*facts["subjects"]["train"]} & {*document["test_subjects"]}
        assert document["fold"] == fold
        tested += document["test_subjects"]
    assert sorted(tested) == ["s1", "s2", "s3"]


def test_the_summary_by_hand(finished):
    plan, _, (path, table) = finished
    summary = json.loads(path.read_text())
    folds = []
    for fold in range(3):
        with (plan.folder(fold) / "evaluation" / "slices.tsv").open() as file:
            rows = [r for r in csv.DictReader(file, delimiter="\t") if r["method"] == "cpce"]
        folds.append(np.mean([float(row["psnr"]) for row in rows]))
    found = summary["methods"]["cpce"]["psnr"]
    np.testing.assert_allclose(found["folds"], folds, atol=1e-5)
    assert found["mean"] == pytest.approx(np.mean(folds), abs=1e-5)
    assert found["sd"] == pytest.approx(np.std(folds, ddof=1), abs=1e-5)
    assert found["all_subjects"]["mean"] == pytest.approx(np.mean(folds), abs=1e-5)
    assert [row[0] for row in table.rows] == [
        "fold 0",
        "fold 1",
        "fold 2",
        "mean ± sd over folds",
        "all subjects [95 %]",
    ]
    assert table.notes == ()


def test_an_incomplete_summary_says_so(finished):
    assert finished[1].notes == ("Incomplete: 1 of 3 folds are done.",)


def test_a_finished_fold_is_left_alone_and_other_settings_are_refused(finished, monkeypatch):
    plan = finished[0]

    def trained_again(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(folding, "fit", trained_again)
    run_fold(plan, 0)
    with pytest.raises(ConfigError, match="no fold 3"):
        run_fold(plan, 3)
    monkeypatch.undo()
    other = Plan(plan.config.model_copy(update={"seed": 9}), plan.shards, plan.out)
    with pytest.raises(ConfigError, match="seed"):
        run_fold(other, 0)


def test_a_finished_fold_is_measured_again_if_more_is_asked_for(finished, tmp_path):
    plan = dataclasses.replace(finished[0], out=tmp_path / "out")
    shutil.copytree(finished[0].out, plan.out)
    trained = (plan.folder(0) / "cpce" / "best.npz").read_bytes()
    more = dataclasses.replace(plan.measured, consistency=True)
    run_fold(dataclasses.replace(plan, measured=more), 0)
    path = plan.folder(0) / "evaluation" / "metrics.json"
    assert "cpce+dc" in json.loads(path.read_text())["methods"]
    assert (plan.folder(0) / "cpce" / "best.npz").read_bytes() == trained
    written = path.stat().st_mtime_ns
    run_fold(plan, 0)  # less is asked for than there is
    assert path.stat().st_mtime_ns == written


def test_a_finished_fold_is_measured_again_for_the_vgg_distance_only_if_that_is_asked_for(finished):
    asked = {
        perceptual: is_done(
            dataclasses.replace(
                finished[0],
                measured=dataclasses.replace(finished[0].measured, perceptual=perceptual),
            ),
            0,
        )
        for perceptual in (None, False, True)
    }
    assert asked == {None: True, False: True, True: False}


def test_a_fold_that_is_being_extended_is_not_done(folded, finished, tmp_path):
    plan = finished[0]
    copy = shutil.copytree(plan.out, tmp_path / "out")
    settings = {**SETTINGS, "schedule": {**SETTINGS["schedule"], "epochs": 1}}
    longer = dataclasses.replace(plan, config=CpceConfig(**settings), out=copy)
    old = (copy / "fold-1" / "evaluation", tmp_path / "old")
    shutil.copytree(*old)
    run_fold(longer, 1)
    assert is_done(longer, 1)
    assert summarise_folds(longer)[1].notes[0] == "Incomplete: 1 of 3 folds are done."
    shutil.rmtree(old[0])
    shutil.copytree(old[1], old[0])  # as if killed between training and measuring
    assert not is_done(longer, 1)
    checkpoint = longer.run(1).checkpoint_file
    shutil.copy(plan.run(1).checkpoint_file, checkpoint)  # as if killed before the last epoch
    assert not is_done(longer, 1)
    run_fold(longer, 1)
    assert is_done(longer, 1)


def test_a_cross_validation_that_is_being_extended_is_no_finished_one(finished, tmp_path):
    copy = shutil.copytree(finished[0].out, tmp_path / "out")
    assert len(read_finished(copy)[1]) == 3
    settings = {**SETTINGS, "schedule": {**SETTINGS["schedule"], "epochs": 1}}
    longer = dataclasses.replace(finished[0], config=CpceConfig(**settings), out=copy)
    run_fold(longer, 1)  # and killed before the next one
    with pytest.raises(BadInputError, match=r"fold-1/evaluation: was measured again after"):
        read_finished(copy)


def test_a_model_that_learnt_from_a_fold_is_refused_before_it_trains(folded, finished, tmp_path):
    first = finished[0].folder(0) / "cpce"  # trained on s2 and s3, or validated on one of them
    config = CpceConfig(**SETTINGS, init=str(first))
    plan = Plan(config, folded, tmp_path, measured=EvaluateConfig(bicubic=False, slices="1"))
    with pytest.raises(BadInputError, match="in the test split: s2"):
        run_fold(plan, 1)
    assert not plan.folder(1).exists()


def test_what_is_finished_is_known_without_tensorflow(finished, tmp_path):
    plan = finished[0]
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(to_toml(plan.config))
    command = ["crossval", "cpce", plan.shards, "-o", plan.out, "--recipe", recipe]
    before = (plan.out / "summary.json").read_text()
    for wanted in ([], ["--fold", "1"], ["--set", 'precision="auto"']):
        printed, _, imported, _ = run_alone(*command, *wanted)
        assert "all subjects" in printed
        assert "tensorflow" not in imported
        assert "keras" not in imported
    assert (plan.out / "summary.json").read_text() == before


def test_a_folder_is_of_one_model(finished):
    plan = dataclasses.replace(finished[0], config=CircleConfig())
    with pytest.raises(ConfigError, match="holds a cross-validation of cpce, not circle"):
        run_fold(plan, 0)


def test_a_finished_fold_of_other_shards_is_refused(finished, tmp_path):
    plan = dataclasses.replace(finished[0], shards=tmp_path / "shards")
    shutil.copytree(finished[0].shards, plan.shards)
    manifest = json.loads((plan.shards / "manifest.json").read_text())
    (plan.shards / "manifest.json").write_text(json.dumps(manifest | {"software": "another"}))
    with pytest.raises(ConfigError, match="data"):
        run_fold(plan, 0)


def test_all_other_folds_train_if_none_validates(folded, finished, tmp_path):
    """Runs started before there was a choice have no word of it and go on."""
    run = finished[0].folder(0) / "cpce"
    text = (run / "config.toml").read_text()
    assert 'fold = "next"\n' in text
    (run / "config.toml").write_text(text.replace('fold = "next"\n', ""))
    without_checksums(run)
    run_fold(finished[0], 0)

    config = CpceConfig(**SETTINGS, validation={"fold": "none"})
    alone = Plan(config, folded, tmp_path, measured=EvaluateConfig(bicubic=False, slices="1"))
    run_fold(alone, 0)
    facts = json.loads((alone.folder(0) / "cpce" / "run.json").read_text())
    assert facts["subjects"] == {"train": ["s2", "s3"], "val": [], "test": ["s1"]}
    with (alone.folder(0) / "cpce" / "log.csv").open() as file:
        assert {row["validated_on"] for row in csv.DictReader(file)} == {"train"}
    notes = summarise_folds(alone)[1].notes
    assert notes[1].startswith("No fold validated")
    other = Plan(finished[0].config, folded, tmp_path)
    with pytest.raises(ConfigError, match=r"validation\.fold: none there, next asked for"):
        run_fold(other, 0)


def test_one_fold_is_tested_by_a_network_that_all_others_train(folded, tmp_path):
    shards = shutil.copytree(folded, tmp_path / "shards")
    manifest = json.loads((shards / "manifest.json").read_text())
    manifest["split_rule"] = {"folds": 1, "file": "split.tsv"}
    for shard in manifest["shards"]:
        shard["fold"] = 0 if shard["subject"] == "s2" else None
    (shards / "manifest.json").write_text(json.dumps(manifest))
    measured = EvaluateConfig(bicubic=False, slices="1")
    plan = Plan(CpceConfig(**SETTINGS), shards, tmp_path / "out", measured=measured)
    run_fold(plan, 0)
    facts = json.loads((plan.folder(0) / "cpce" / "run.json").read_text())
    assert facts["subjects"] == {"train": ["s1", "s3"], "val": [], "test": ["s2"]}
    summary = json.loads(summarise_folds(plan)[0].read_text())
    assert (summary["folds"], summary["done"]) == (1, [0])


def test_shards_without_folds_are_refused(shards, tmp_path):
    with pytest.raises(ConfigError, match="--folds K"):
        run_fold(Plan(CpceConfig(**SETTINGS), shards, tmp_path), 0)
