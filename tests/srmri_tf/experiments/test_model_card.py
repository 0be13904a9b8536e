"""A card's figures against numbers worked out here from the same slices."""

import hashlib
import json
import shlex
import shutil
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError
from data_prep.files import sealed
from data_prep.shards.schema import read_manifest
from srmri_tf.cli.data import _prepare_config, prepare
from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.experiments.crossval import Plan, summarise_folds
from srmri_tf.experiments.fold import run_fold
from srmri_tf.experiments.model_card import (
    About,
    _commands,
    _parameter_options,
    _split_options,
    make_card,
)
from srmri_tf.models import checkpoint
from srmri_tf.models.card import markdown, read_card
from srmri_tf.models.run import Run
from srmri_tf.models.stored import read
from srmri_tf.recipes import load_recipe
from srmri_tf.recipes.config import CpceConfig
from srmri_tf.training.fitting import fit
from tests.srmri_tf.conftest import image_pair, make_shards
from tests.srmri_tf.evaluation.test_measuring import PARAMETERS, make_run
from tests.srmri_tf.experiments.test_crossval import SETTINGS

ABOUT = About("A network", "T2", "Phantoms", "CC BY 4.0", "Drawn by hand.")


def trained_on(shards, folder, train=("s1", "s2"), **changes):
    """A run that says it was trained on these shards."""
    run = make_run(folder, gain=0.01, train=train)
    digest = hashlib.sha256((shards / "manifest.json").read_bytes()).hexdigest()
    facts = {
        "subjects": {"train": list(train), "val": [], "test": []},
        "parameters": PARAMETERS,
        "data": str(shards),
        "data_sha256": digest,
    }
    (run / "run.json").write_text(json.dumps(facts | changes))
    return run


@pytest.fixture(scope="module")
def made(shards, tmp_path_factory):
    """A run, an evaluation of it and the card made of both."""
    folder = tmp_path_factory.mktemp("cardmaker")
    run = trained_on(shards, folder / "net")
    evaluate([run], shards, folder / "evaluation")
    out = folder / "net-t2-x2.toml"
    card = make_card(run, shards, ABOUT, out, folder / "evaluation")
    return folder, card


def test_the_card_is_written_as_it_is(made):
    folder, card = made
    assert read_card(folder / "net-t2-x2.toml") == card
    assert (card.name, card.kind, card.sha256) == ("net-t2-x2", "cpce", read(folder / "net").sha256)
    assert (card.contrast, card.title, card.data.licence) == ("T2", "A network", "CC BY 4.0")


def test_what_it_was_trained_on_is_counted(made):
    data = made[1].data
    assert (data.labels, data.scans, data.slices) == (("s1", "s2"), 2, 8)
    scans = [hashlib.sha256(subject.encode()).hexdigest() for subject in ("s1", "s2")]
    assert data.scan_sha256 == tuple(sorted(scans))


def test_ranges_are_those_of_the_training_subjects(made):
    ranges = made[1].ranges
    assert (ranges.in_plane_mm, ranges.slice_mm) == ((1.0, 1.0), (3.0, 3.0))
    means, medians = [], []
    for subject in ("s1", "s2"):
        volume = np.stack([image_pair(subject, index)[0] for index in range(4)])
        head = volume[volume > 0.1 * np.percentile(volume[volume > 0], 99)] / volume.max()
        means.append(head.mean(dtype=np.float64))
        medians.append(np.median(head))
    assert ranges.intensity["mean"] == pytest.approx(sorted(means), rel=1e-3)
    assert ranges.intensity["p50"] == pytest.approx(sorted(medians), rel=1e-3)
    assert set(ranges.intensity) == {"mean", "p10", "p50", "p90", "p99"}


def test_gains_are_those_of_the_evaluation(made):
    folder, card = made
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    lr, net = (metrics["methods"][name]["measures"] for name in ("lr", "net"))
    for key in ("psnr", "ssim"):
        score = getattr(card.measured, key)
        assert score.input == pytest.approx(lr[key]["mean"], abs=1e-5)
        assert score.output == pytest.approx(net[key]["mean"], abs=1e-5)
        assert score.gain == pytest.approx(net[key]["mean"] - lr[key]["mean"], abs=1e-5)
        (paired,) = (
            d["ci95"]
            for d in metrics["differences"]
            if (d["a"], d["b"], d["measure"]) == ("net", "lr", key)
        )
        assert score.ci95 == pytest.approx(paired, abs=1e-5)
    assert card.measured.psnr.gain != 0
    assert card.measured.psnr_consistent is None
    assert (card.measured.protocol, card.measured.subjects, card.measured.slices) == (
        "evaluation",
        2,
        8,
    )
    assert card.measured.data == "Phantoms: s4, s5"
    assert card.measured.command == "srmri-tf evaluate run shards -o evaluation"


@pytest.mark.parametrize(
    ("said", "options"), [({"fold": 0}, "--fold 0"), ({"contrast": "T1"}, "--contrast T1")]
)
def test_the_command_measures_what_was_measured(made, shards, tmp_path, said, options):
    evaluation = shutil.copytree(made[0] / "evaluation", tmp_path / "evaluation")
    document = json.loads((evaluation / "metrics.json").read_text())
    (evaluation / "metrics.json").write_text(json.dumps(sealed(document | said)))
    card = make_card(made[0] / "net", shards, ABOUT, tmp_path / "net.toml", evaluation)
    assert card.measured.command == f"srmri-tf evaluate run shards -o evaluation {options}"


def test_data_that_it_was_measured_on_can_have_a_name_of_their_own(made, shards, tmp_path):
    run, evaluation = (made[0] / name for name in ("net", "evaluation"))
    about = replace(ABOUT, measured_data="Drawings of another hand")
    card = make_card(run, shards, about, tmp_path / "net.toml", evaluation)
    assert card.data.title == "Phantoms"
    assert card.measured.data == "Drawings of another hand: s4, s5"
    plain = make_card(run, shards, ABOUT, tmp_path / "plain.toml", evaluation)
    assert plain.measured.data == "Phantoms: s4, s5"


def test_the_recipe_trains_it_again(made, tmp_path):
    import tomli_w

    folder, card = made
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(card.recipe))
    assert load_recipe(str(tmp_path / "recipe.toml")) == Run(folder / "net").config()
    assert card.commands == (
        "srmri-tf prepare SCANS -o shards --patch-size 16",
        "srmri-tf models net-t2-x2 --recipe > net-t2-x2.toml",
        "srmri-tf fit cpce shards -o run --recipe net-t2-x2.toml",
    )


def test_the_card_says_what_training_began_with_and_that_it_was_extended(shards, tmp_path):
    init = {"name": "l1-t2-x2", "sha256": "c" * 64, "subjects": ["p7"], "networks": ["generator"]}
    init["scans"] = ["d" * 64]
    run = trained_on(shards, tmp_path / "net", init=init, epochs_before=[2, 5])
    card = make_card(run, shards, ABOUT, tmp_path / "net-t2-x2.toml")
    assert card.init.model_dump(mode="json") == init
    fit = "srmri-tf fit cpce shards -o run --recipe net-t2-x2.toml"
    assert card.commands[2:] == (f"{fit} --epochs 2", f"{fit} --epochs 5", fit)


def test_shards_of_another_training_are_refused(made, shard_maker, tmp_path):
    other = shard_maker(tmp_path / "other", {"s1": "train", "s2": "train"})
    with pytest.raises(ConfigError, match="are not the shards that"):
        make_card(made[0] / "net", other, ABOUT, tmp_path / "a.toml")
    assert not (tmp_path / "a.toml").exists()


def test_an_evaluation_of_something_else_is_refused(made, shards, tmp_path):
    run = trained_on(shards, tmp_path / "net", train=("s1",))
    with pytest.raises(ConfigError, match="did not measure"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml", made[0] / "evaluation")
    with pytest.raises(BadInputError, match="neither an evaluation nor"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml", tmp_path)
    assert not (tmp_path / "a.toml").exists()


def test_a_run_of_the_same_recipe_on_fewer_subjects_can_be_measured_instead(made, shards, tmp_path):
    run = trained_on(shards, tmp_path / "all", train=("s1", "s2", "s3"))
    card = make_card(run, shards, ABOUT, tmp_path / "all.toml", made[0] / "evaluation")
    assert (card.measured.protocol, card.measured.trained_on) == ("subset", ("s1", "s2"))
    assert card.measured.psnr == made[1].measured.psnr
    assert card.data.labels == ("s1", "s2", "s3")
    assert "a network of this recipe that was trained on s1, s2 alone" in markdown(card)
    config = run / "config.toml"
    config.write_text(config.read_text().replace("batch_size = 128", "batch_size = 64"))
    with pytest.raises(ConfigError, match="did not measure"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml", made[0] / "evaluation")


def test_figures_that_leak_are_refused(made, shards, tmp_path):
    shutil.copytree(made[0] / "evaluation", tmp_path / "evaluation")
    path = tmp_path / "evaluation" / "metrics.json"
    document = json.loads(path.read_text())
    document["methods"]["net"]["marks"] = ["was trained on s4"]
    path.write_text(json.dumps(sealed(document)))
    with pytest.raises(ConfigError, match="too good: it was trained on s4"):
        make_card(made[0] / "net", shards, ABOUT, tmp_path / "a.toml", path.parent)


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--folds 3",
        "--folds 4 --seed 7 --lr coarse",
        "--val-fraction 0 --test-fraction 0.5",
        "--test-fraction 0.95",
        "--val-count 1 --test-count 2 --train-count 3",
        "--slice-wise --train-count 10 --min-signal 0.05",
        "--max-slices 60 --val-fraction 0 --test-fraction 0.5",
        "--keep 0.5 --keep-by axis --lr real --patch-size 32 --plane coronal",
    ],
)
def test_the_card_gives_the_options_that_made_the_shards(options):
    def config(text):
        context = prepare.make_context("prepare", ["scans", "-o", "shards", *shlex.split(text)])
        return _prepare_config(context.params)

    made = config(options)
    said = [*_parameter_options(made.parameters), *_split_options(made.split_rule)]
    assert config(shlex.join(said)) == made


def test_shards_of_several_contrasts_are_prepared_with_all_contrasts(made, shards):
    manifest = read_manifest(shards)
    relabelled = tuple(
        shard.model_copy(update={"contrast": contrast})
        for shard, contrast in zip(manifest.shards, cycle(("T1", "T2")), strict=False)
    )
    mixed = manifest.model_copy(update={"shards": relabelled})
    run = Run(made[0] / "net")
    plain, several = (next(_commands(run, m, "net")) for m in (manifest, mixed))
    assert several == f"{plain} --all-contrasts"


def folded_shards(folder):
    """Three subjects, a fold each."""
    make_shards(folder, dict.fromkeys(("s1", "s2", "s3"), "train"), slices=2)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for fold, shard in enumerate(manifest["shards"]):
        shard["fold"] = fold
    path.write_text(json.dumps(manifest | {"split_rule": {"folds": 3}}))
    return folder


def make_crossval(folder, run, psnrs, done=None):
    """Two folds of one subject each: (method, subject) -> PSNR of two slices."""
    folds = {"s1": 0, "s2": 1}
    for subject, fold in folds.items():
        evaluation = folder / f"fold-{fold}" / "evaluation"
        evaluation.mkdir(parents=True)
        lines = ["method\tsubject\tsession\tslice\tair\tpsnr\tssim"]
        for (method, who), values in psnrs.items():
            if who == subject:
                lines += [
                    f"{method}\t{who}\t\t{i}\tFalse\t{v}\t{v / 100}" for i, v in enumerate(values)
                ]
                lines.append(f"{method}\t{who}\t\t9\tTrue\tinf\t1.0")  # background does not count
        (evaluation / "slices.tsv").write_text("\n".join(lines) + "\n")
        methods = {method: {"marks": []} for method, _ in psnrs}
        document = {"version": 4, "methods": methods, "test_subjects": [subject]}
        (evaluation / "metrics.json").write_text(json.dumps(document))
        theirs = folder / f"fold-{fold}" / "cpce"
        theirs.mkdir()
        text = (run / "config.toml").read_text()
        (theirs / "config.toml").write_text(f"fold = {fold}\n{text}")
        shutil.copy(run / "run.json", theirs)
    done = [0, 1] if done is None else done
    summary = {"model": "cpce", "done": done, "folds": 2}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


PSNRS = {
    ("lr", "s1"): [30.0, 32.0],
    ("lr", "s2"): [40.0, 40.0],
    ("cpce", "s1"): [31.0, 34.0],
    ("cpce", "s2"): [40.5, 40.5],
    ("cpce+dc", "s1"): [32.0, 34.0],
    ("cpce+dc", "s2"): [41.0, 41.0],
}


def test_a_cross_validation_by_hand(shards, tmp_path):
    """s1 gains 1.5 dB and s2 0.5, with consistency 2 and 1."""
    run = trained_on(shards, tmp_path / "net")
    folder = make_crossval(tmp_path / "crossval", run, PSNRS)
    measured = make_card(run, shards, ABOUT, tmp_path / "a.toml", folder).measured
    assert measured.protocol == "crossval"
    assert (measured.subjects, measured.slices) == (2, 4)
    assert (measured.psnr.input, measured.psnr.output) == (35.5, 36.5)
    assert measured.psnr.gain == pytest.approx(1.0)
    assert measured.psnr.ci95 == pytest.approx((0.5, 1.5))
    assert measured.psnr_consistent.gain == pytest.approx(1.5)
    assert measured.psnr_consistent.ci95 == pytest.approx((1.0, 2.0))
    assert measured.ssim.gain == pytest.approx(0.01)
    assert measured.command == (
        "srmri-tf crossval cpce shards -o crossval --recipe a.toml --consistency"
    )


def test_the_command_cross_validates_as_was_measured(shards, tmp_path):
    """A run without folds has no use for ``validation.fold``, but its figures depend on it."""
    run = trained_on(shards, tmp_path / "net")
    folder = make_crossval(tmp_path / "crossval", run, PSNRS)
    for config in folder.glob("fold-*/cpce/config.toml"):
        text = config.read_text()
        assert 'fold = "next"' in text
        config.write_text(text.replace('fold = "next"', 'fold = "none"'))
    measured = make_card(run, shards, ABOUT, tmp_path / "a.toml", folder).measured
    assert measured.command == (
        "srmri-tf crossval cpce shards -o crossval --recipe a.toml --set validation.fold=none "
        "--consistency"
    )


def test_an_unfinished_cross_validation_is_refused(shards, tmp_path):
    run = trained_on(shards, tmp_path / "net")
    folder = make_crossval(tmp_path / "crossval", run, PSNRS, done=[1])
    with pytest.raises(BadInputError, match="only 1 of 2 folds"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml", folder)


def test_a_cross_validation_of_another_recipe_is_refused(shards, tmp_path):
    run = trained_on(shards, tmp_path / "net")
    folder = make_crossval(tmp_path / "crossval", run, PSNRS)
    config = folder / "fold-1" / "cpce" / "config.toml"
    config.write_text(config.read_text().replace("batch_size = 128", "batch_size = 64"))
    with pytest.raises(ConfigError, match="batch_size: 64 there, 128 asked for"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml", folder)


def test_a_cross_validation_of_another_degradation_is_refused(shards, tmp_path):
    run = trained_on(shards, tmp_path / "net")
    folder = make_crossval(tmp_path / "crossval", run, PSNRS)
    file = folder / "fold-1" / "cpce" / "run.json"
    facts = json.loads(file.read_text())
    facts["parameters"]["degradation"]["lr"] = "coarse"
    file.write_text(json.dumps(facts))
    with pytest.raises(ConfigError, match=r"another degradation .*: lr: coarse there, magnitude"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml", folder)


def test_a_recipe_is_not_replaced_by_a_card(made, shards, tmp_path):
    folder, _ = made
    out = tmp_path / "a.toml"
    out.write_text('model = "cpce"\n')
    with pytest.raises(ConfigError, match="is no model card"):
        make_card(folder / "net", shards, ABOUT, out)
    assert out.read_text() == 'model = "cpce"\n'
    shutil.copy(folder / "net-t2-x2.toml", out)
    assert make_card(folder / "net", shards, ABOUT, out).name == "a"


def test_an_unfinished_run_has_no_card(shards, tmp_path):
    run = trained_on(shards, tmp_path / "net")
    checkpoint.save(run / "checkpoint.npz", {}, {"history": [{}]})
    with pytest.raises(BadInputError, match="has done only 1 of"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml")


def test_damaged_figures_are_named(shards, tmp_path):
    run = trained_on(shards, tmp_path / "net")
    folder = make_crossval(tmp_path / "crossval", run, PSNRS)
    (folder / "fold-1" / "evaluation" / "slices.tsv").write_text("method\tpsnr\nlr\t30\n")
    with pytest.raises(CorruptArtefactError, match=r"slices\.tsv: cannot be read"):
        make_card(run, shards, ABOUT, tmp_path / "a.toml", folder)


@pytest.mark.slow
def test_the_documented_steps_from_shards_to_a_card(tmp_path):
    """Cross-validate a recipe, train it on everything, and make the card of that run."""
    shards = folded_shards(tmp_path / "shards")
    config = CpceConfig(**SETTINGS)
    measured = EvaluateConfig(bicubic=False, slices="1", consistency=True)
    plan = Plan(config, shards, tmp_path / "crossval", measured=measured)
    for fold in range(3):
        run_fold(plan, fold)
    summary = json.loads(summarise_folds(plan)[0].read_text())
    run = fit(config, shards, tmp_path / "run").folder
    card = make_card(run, shards, ABOUT, tmp_path / "net.toml", plan.out)
    assert card.data.labels == ("s1", "s2", "s3")
    for method, score in (
        ("cpce", card.measured.psnr),
        ("cpce+dc", card.measured.psnr_consistent),
    ):
        means = {
            name: summary["methods"][name]["psnr"]["all_subjects"]["mean"]
            for name in ("lr", method)
        }
        assert score.output == pytest.approx(means[method], abs=1e-5)
        assert score.gain == pytest.approx(means[method] - means["lr"], abs=1e-5)
    assert card.commands[0] == "srmri-tf prepare SCANS -o shards --patch-size 16 --folds 3"
