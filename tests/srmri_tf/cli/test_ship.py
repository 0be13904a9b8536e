"""The commands about finished models, as a user types them."""

import subprocess
import sys

import pytest

from srmri_tf.models import card, exporting
from srmri_tf.models.card import read_card
from srmri_tf.recipes import load_recipe
from tests.srmri_tf.cli.test_cli import run
from tests.srmri_tf.evaluation.test_measuring import make_run
from tests.srmri_tf.experiments.test_model_card import trained_on
from tests.srmri_tf.models.test_card import make_card


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(card, "SHIPPED", tmp_path / "shipped")
    card.SHIPPED.mkdir()
    card.card_file("cpce-t2-x2").write_text(card.to_toml(make_card()))
    card.weights_file("cpce-t2-x2").write_bytes(b"")


def test_models_are_listed_and_shown(shipped, capsys):
    assert run("models") == 0
    head, row, *_ = shown = capsys.readouterr().out.splitlines()
    assert row.split() == "cpce-t2-x2 T2 cpce +1.50 [+1.25, +1.75] +0.0200 2 0 kB".split()  # noqa: SIM905
    assert head.index("SSIM") == row.index("+0.0200")
    assert max(map(len, shown)) <= 80
    assert run("models", "cpce-t2-x2") == 0
    assert capsys.readouterr().out.startswith("## cpce-t2-x2\n")


def test_a_recipe_is_printed_as_one(shipped, tmp_path, capsys):
    assert run("models", "cpce-t2-x2", "--recipe") == 0
    (tmp_path / "again.toml").write_text(capsys.readouterr().out)
    config = load_recipe(str(tmp_path / "again.toml"))
    assert (config.model, config.generator.shortcut) == ("cpce", True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["models", "cpce-t2-x3"], 2, "did you mean cpce-t2-x2"),
        (["models", "--recipe"], 2, "--recipe needs the NAME"),
        (["export", "cpce-t2-x3", "-o", "out"], 3, "name of a shipped model: cpce-t2-x2"),
        (["export", "absent", "-o", "out.h5"], 2, "out.h5: ends in .h5"),
    ],
)
def test_wrong_usage_is_one_message_and_its_code(
    shipped, tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert [p.name for p in tmp_path.iterdir()] == ["shipped"]


def test_models_does_not_wait_for_tensorflow():
    program = (
        "import sys; sys.argv = ['srmri-tf', 'models']\n"
        "from srmri_tf.cli import main\n"
        "try: main()\n"
        "finally: print('tensorflow' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert out.stdout.splitlines()[-1] == "False"


def test_export_says_what_it_wrote(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exporting, "_check", lambda *args: None)
    source = make_run(tmp_path / "run")
    assert run("export", source, "-o", tmp_path / "net.keras") == 0
    assert capsys.readouterr().out == f"Keras model: {tmp_path / 'net.keras'}\n"
    assert run("export", source, "-o", tmp_path / "net.keras") == 2
    assert "Give --overwrite" in capsys.readouterr().err


def test_a_card_is_made(shards, tmp_path, capsys):
    source = trained_on(shards, tmp_path / "run")
    about = [
        word
        for option, text in {
            "title": "A network",
            "contrast": "T2",
            "data": "Phantoms",
            "licence": "CC BY 4.0",
            "attribution": "Drawn by hand.",
        }.items()
        for word in (f"--{option}", text)
    ]
    assert run("card", source, shards, "-o", tmp_path / "net.toml", *about) == 0
    assert f"card: {tmp_path / 'net.toml'}" in capsys.readouterr().out
    assert read_card(tmp_path / "net.toml").name == "net"
    assert run("card", source, shards, "-o", tmp_path / "net.json", *about) == 2
    assert "net.json: is no name for a card" in capsys.readouterr().err
