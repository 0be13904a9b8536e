"""docs/notebook.ipynb: its cells name commands and functions that there are, and it runs."""

import importlib
import json
import os
import re
import shlex
import sys
from pathlib import Path

import click
import pytest

from srmri_tf.cli import cli

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]
SHELL = [cell for cell in CODE if cell.startswith("%%bash\n")]
PYTHON = [cell for cell in CODE if not cell.startswith("%%")]


def parsed(words):
    """The context of a command whose words, without ``srmri-tf``, are understood."""
    found, words = cli, list(words)
    while isinstance(found, click.Group):
        found = found.commands[words.pop(0)]
    return found.make_context(found.name, words)


def test_every_command_is_understood():
    lines = [line for cell in SHELL for line in cell.splitlines()[1:]]
    assert len(lines) == 6
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "srmri-tf"
        parsed(words)


def test_every_python_cell_compiles_and_imports_what_there_is():
    for cell in PYTHON:
        compile(cell, "cell", "exec")
    imported = re.findall(r"^from (\S+) import (.+)$", "\n".join(PYTHON), re.MULTILINE)
    names = [(module, name) for module, line in imported for name in line.split(", ")]
    assert ("data_prep.kspace", "downsampled") in names
    for module, name in names:
        if module.partition(".")[0] in ("data_prep", "srmri_tf"):
            assert hasattr(importlib.import_module(module), name)


def test_it_is_kept_without_what_it_printed():
    for cell in CELLS:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_it_runs(tmp_path, monkeypatch):
    """Downloads the sample and trains: 15 CPU minutes."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # of commands that ran in this process
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=3600, resources=place).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 3
    assert (tmp_path / "coarse_desc-cpce.nii.gz").exists()
