"""The command `recipes`, as a user types it."""

import re

from srmri_tf.recipes import load_recipe, recipe_names
from tests.srmri_tf.cli.test_cli import run


def test_recipes_are_listed_with_a_whole_sentence_each(capsys):
    assert run("recipes") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == recipe_names()
    for line in lines:
        name, summary = re.split("  +", line)
        network = "GAN-CPCE" if load_recipe(name).model == "cpce" else "GAN-CIRCLE"
        assert re.fullmatch(rf"{network} .*\.", summary)


def test_a_recipe_is_printed_to_be_changed(tmp_path, capsys):
    assert run("recipes", "fast-cpce") == 0
    mine = tmp_path / "mine.toml"
    mine.write_text(capsys.readouterr().out)
    assert load_recipe(str(mine)) == load_recipe("fast-cpce")


def test_an_unknown_recipe_is_one_message(tmp_path, capsys):
    assert run("recipes", "fast-cpc") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "fast-cpc: is no recipe of the package: demo, demo-circle, fast-circle" in captured.err
