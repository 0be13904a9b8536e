"""Paths as people write them."""

from pathlib import Path

import click
import pytest

from srmri_tf.cli.paths import NAME, PATH


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_a_quoted_tilde_is_the_home_folder(home):
    assert PATH.convert("~/out", None, None) == home / "out"
    assert NAME.convert("~", None, None) == str(home)
    assert NAME.convert("cpce-t2-x2", None, None) == "cpce-t2-x2"
    assert PATH.convert(Path("a~b"), None, None) == Path("a~b")


def test_a_file_of_that_name_comes_first(home):
    Path("~x").touch()
    assert PATH.convert("~x", None, None) == Path("~x")


@pytest.mark.parametrize("kind", [PATH, NAME])
def test_an_empty_argument_is_not_this_folder(kind):
    with pytest.raises(click.BadParameter, match="is empty"):
        kind.convert("", None, None)
