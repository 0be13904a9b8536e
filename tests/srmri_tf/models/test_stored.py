"""Formats that are read as data: damaged, foreign and malicious ones."""

import json
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from data_prep.errors import BadInputError, CorruptArtefactError
from srmri_tf.models import card as cards
from srmri_tf.models import checkpoint, exporting, stored
from srmri_tf.models.card import digest
from srmri_tf.models.exporting import export
from srmri_tf.models.model import load_network
from srmri_tf.models.stored import read
from tests.srmri_tf.evaluation.test_measuring import make_run
from tests.srmri_tf.models.test_card import make_card

RNG = np.random.default_rng(0)
FORMATS = ("model", "model.keras", "model.npz")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One run in every format that can be opened again; test_export compares their pixels."""
    folder = tmp_path_factory.mktemp("stored")
    run = make_run(folder / "run", gain=1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "_check", lambda *args: None)
        patch.setattr(exporting, "_check_signatures", lambda *args: None)
        for name in FORMATS:
            export(run, folder / name)
    return folder


@pytest.fixture
def copy(models, tmp_path):
    def of(name):
        place = tmp_path / name
        (shutil.copytree if (models / name).is_dir() else shutil.copyfile)(models / name, place)
        return place

    return of


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_the_same_network(models, name):
    network, original = load_network(models / name), load_network(models / "run")
    lr = RNG.random((2, 20, 31), np.float32)
    np.testing.assert_array_equal(network.super_resolve(lr), original.super_resolve(lr))
    for field in (
        "name",
        "architecture",
        "options",
        "degradation",
        "halo",
        "multiple",
        "sha256",
        "card",
    ):
        assert getattr(network, field) == getattr(original, field)


def test_an_export_can_be_exported(models, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_check", lambda *args: None)
    export(models / "model", tmp_path / "again.npz")
    export(tmp_path / "again.npz", tmp_path / "again.keras")
    assert read(tmp_path / "again.keras").sha256 == read(models / "run").sha256


def weights_of(place):
    return place / "variables" / "variables.data-00000-of-00001" if place.is_dir() else place


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_damage_is_found(copy, name, damage):
    place = copy(name)
    file = weights_of(place)
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 0x40
    file.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=name):
        load_network(place)


def test_weights_of_another_model_are_found(copy):
    place = copy("model.npz")
    arrays, meta = checkpoint.load(place)
    arrays["conv1/kernel"] = arrays["conv1/kernel"] + np.float32(1e-3)
    checkpoint.save(place, arrays, meta)
    with pytest.raises(CorruptArtefactError, match="other weights than those it was exported"):
        load_network(place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version"),
        ({"kind": "unet"}, "kind"),
        ({"options": {"shortcut": True, "depth": 3}}, "depth"),
        ({"options": {"shortcut": False}}, "other weights"),
        ({"options": {}}, r"by \[\], not \['shortcut'\]"),
        ({"sha256": "0" * 64}, "other weights"),
        ({"licence": "mine"}, "licence"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(copy, change, message):
    place = copy("model.npz")
    arrays, meta = checkpoint.load(place)
    checkpoint.save(place, arrays, {**meta, "model": {**meta["model"], **change}})
    with pytest.raises(CorruptArtefactError, match=message):
        load_network(place)


def test_what_others_wrote_is_refused(models, copy, tmp_path):
    shutil.copyfile(models / "run" / "best.npz", tmp_path / "best.npz")
    with pytest.raises(BadInputError, match=r"best\.npz: is not a model that `srmri-tf export`"):
        load_network(tmp_path / "best.npz")
    folder = copy("model")
    (folder / "assets.extra" / "srmri-tf.json").unlink()
    with pytest.raises(BadInputError, match="no description of its network"):
        load_network(folder)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(BadInputError, match=r"other\.keras: is not a model"):
        load_network(tmp_path / "other.keras")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(CorruptArtefactError, match=r"text\.npz"):
        load_network(tmp_path / "text.npz")


def test_archives_that_unpack_to_too_much_are_refused_unread(copy, monkeypatch):
    monkeypatch.setattr(stored, "LARGEST", 1000)
    for name in ("model.keras", "model.npz"):
        with pytest.raises(CorruptArtefactError, match="unpacks to"):
            load_network(copy(name))


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return open, (str(self.place), "w")


def test_a_pickle_in_a_weights_file_is_never_run(copy, tmp_path):
    place, trap = copy("model.npz"), tmp_path / "sprung"
    arrays, meta = checkpoint.load(place)
    arrays["conv1/kernel"] = np.array([Trap(trap)], object)
    text = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    with place.open("wb") as file:
        np.savez(file, meta=text, **arrays)
    with pytest.raises(CorruptArtefactError):
        load_network(place)
    assert not trap.exists()
    with np.load(place, allow_pickle=True) as loaded:  # the trap does work
        loaded["conv1/kernel"][0].close()
    assert trap.exists()


def test_layers_that_come_with_a_keras_file_are_never_made(copy, tmp_path, monkeypatch):
    """Its layers are replaced by one that runs code as it is made: only the weights are read."""
    monkeypatch.chdir(tmp_path)
    layer = keras.layers.Lambda(lambda x: (__import__("pathlib").Path("sprung").touch(), x)[1])
    keras.Sequential([keras.Input((None, None, 1)), layer]).save("hostile.keras")
    place = copy("model.keras")
    with zipfile.ZipFile(place) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile("hostile.keras") as archive:
        members["config.json"] = archive.read("config.json")
    with zipfile.ZipFile(place, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    (tmp_path / "sprung").unlink()
    assert load_network(place).architecture == "cpce"
    assert not (tmp_path / "sprung").exists()
    keras.saving.load_model("hostile.keras", safe_mode=False)  # the trap does work
    assert (tmp_path / "sprung").exists()


def test_the_graph_of_a_saved_model_is_never_run(copy):
    place = copy("model")
    (place / "saved_model.pb").write_bytes(b"whatever graph this is")
    assert load_network(place).architecture == "cpce"


@pytest.fixture
def shipped(models, tmp_path, monkeypatch):
    """A folder of shipped models with one in it."""
    monkeypatch.setattr(cards, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    shutil.copyfile(models / "model.npz", cards.weights_file("cpce-t2-x2"))
    card = make_card(name="cpce-t2-x2", sha256=read(models / "run").sha256)
    cards.card_file("cpce-t2-x2").write_text(cards.to_toml(card))
    return card


def test_a_shipped_model_opens_by_its_name_with_its_card(shipped, models, tmp_path, monkeypatch):
    network = load_network("cpce-t2-x2")
    assert (network.name, network.card) == ("cpce-t2-x2", shipped)
    assert network.sha256 == load_network(models / "run").sha256
    monkeypatch.chdir(tmp_path)
    shutil.copytree(models / "run", "cpce-t2-x2")  # a folder of that name does not hide it
    assert load_network("cpce-t2-x2").card == shipped
    for path in ("./cpce-t2-x2", Path("cpce-t2-x2")):
        assert load_network(path).card is None
    with pytest.raises(BadInputError, match=r"name of a shipped model: cpce-t2-x2"):
        load_network("cpce-t2")


def test_a_shipped_models_card_goes_with_it(shipped, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_check", lambda *args: None)
    monkeypatch.setattr(exporting, "_check_signatures", lambda *args: None)
    for name in FORMATS:
        export("cpce-t2-x2", tmp_path / name)
        assert load_network(tmp_path / name).card == shipped
    page = (tmp_path / "model" / "assets.extra" / "card.md").read_text()
    assert "Not a diagnostic device" in page


def test_a_card_of_other_weights_is_refused(shipped):
    other = make_card(name="cpce-t2-x2", sha256="0" * 64)
    cards.card_file("cpce-t2-x2").write_text(cards.to_toml(other))
    with pytest.raises(CorruptArtefactError, match="card of other weights"):
        load_network("cpce-t2-x2")


def test_the_hash_covers_options_names_shapes_and_bits():
    weights = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.float32)}
    known = digest("cpce", {"shortcut": True}, weights)
    assert digest("cpce", {"shortcut": True}, dict(reversed(weights.items()))) == known
    nudged = {**weights, "b": np.array([0, 1e-45], np.float32)}
    others = [
        digest("circle", {"shortcut": True}, weights),
        digest("cpce", {"shortcut": False}, weights),
        digest("cpce", {"shortcut": True}, nudged),
        digest("cpce", {"shortcut": True}, {**weights, "a": weights["a"].reshape(3, 2)}),
        digest("cpce", {"shortcut": True}, {"a": weights["a"], "c": weights["b"]}),
    ]
    assert len({known, *others}) == 6
