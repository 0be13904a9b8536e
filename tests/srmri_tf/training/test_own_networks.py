"""docs/own-networks.md, from recipe to enhanced scan: its own code blocks, run."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data_prep.errors import BadInputError
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.files import enhance
from srmri_tf.enhance.worklist import make_worklist
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.models import checkpoint
from srmri_tf.models.exporting import export
from srmri_tf.models.model import load_network
from srmri_tf.recipes import load_recipe
from srmri_tf.training.fitting import fit
from tests.data_prep.phantoms import phantom, save
from tests.srmri_tf.conftest import kept_as_if_killed
from tests.srmri_tf.models.test_exporting import without_checks
from tests.srmri_tf.traced import share_traced_steps

DOCS = Path(__file__).parents[3] / "docs" / "own-networks.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files of the document: two modules, two recipes."""
    folder = tmp_path_factory.mktemp("own")
    for text in (text for kind, text in BLOCKS if kind == "python"):
        name = re.match(r"# (\w+\.py)\n", text)[1]
        (folder / name).write_text(text)
    recipes = [text for kind, text in BLOCKS if kind == "toml"]
    for name, text in zip(("term", "generator"), recipes, strict=True):
        (folder / f"{name}.toml").write_text(text)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in ("my_losses", "my_networks"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module", autouse=True)
def traced_once():
    with pytest.MonkeyPatch.context() as patch:
        share_traced_steps(patch)
        yield


@pytest.fixture(scope="module")
def runs(folder, shards):
    """A run of each recipe, and in ``killed`` copies of it as kills would have left it."""
    found = {}
    for name in ("term", "generator"):
        with kept_as_if_killed(folder / "killed" / name):
            recipe = load_recipe(str(folder / f"{name}.toml"))
            found[name] = fit(recipe, shards, folder / name, devices=1)
    return found


@pytest.mark.parametrize("name", ["term", "generator"])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(runs, folder, shards, name, tmp_path):
    shutil.copytree(folder / "killed" / name / "1", tmp_path / "run")
    resumed = fit(load_recipe(str(folder / f"{name}.toml")), shards, tmp_path / "run", devices=1)
    expected, found = (checkpoint.load(r.checkpoint_file)[0] for r in (runs[name], resumed))
    assert expected.keys() == found.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)


def test_the_term_is_logged(runs):
    header, *rows = runs["term"].log_file.read_text().splitlines()
    column = header.split(",").index("my_losses:edges")
    assert float(rows[-1].split(",")[column]) > 0


@pytest.mark.parametrize("name", ["term", "generator"])
def test_the_same_command_finds_the_run_finished(runs, folder, shards, name):
    before = runs[name].checkpoint_file.read_bytes()
    fit(load_recipe(str(folder / f"{name}.toml")), shards, folder / name, devices=1)
    assert runs[name].checkpoint_file.read_bytes() == before


def test_both_runs_are_measured(runs, shards, tmp_path):
    result = evaluate([run.folder for run in runs.values()], shards, tmp_path / "evaluation")
    assert {"term", "generator"} <= set(result.document["methods"])


def test_a_scan_is_enhanced_by_the_users_generator(runs, tmp_path):
    scan = save(tmp_path / "scan.nii.gz", phantom((16, 16, 4)))
    worklist = make_worklist([scan], tmp_path / "out.nii.gz")
    (result,) = enhance(worklist, EnhanceConfig(model=str(runs["generator"].folder)))
    assert result.target.image.is_file()


def test_an_exported_model_computes_the_same_but_is_not_opened_by_its_name(
    runs, tmp_path, monkeypatch
):
    without_checks(monkeypatch)  # of export's own, as this test makes one
    run = runs["generator"].folder
    out = export(run, tmp_path / "model")
    lr = np.random.default_rng(0).random((1, 16, 18, 1), np.float32)
    found = tf.saved_model.load(str(out)).signatures["serving_default"](lr=lr)["sr"]
    expected = load_network(run).super_resolve(lr[..., 0])
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)
    with pytest.raises(BadInputError, match="my_networks:build, and no code is run"):
        load_network(out)
