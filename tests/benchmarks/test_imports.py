"""What benchmarks and the campaign of faults import is there: most of them no other test runs."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from srmri_tf.cli import process

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("tests/faults/*.py")])
OURS = ("data_prep", "srmri_tf", "tests")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_is_imported_is_there(script):
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            module = importlib.import_module(node.module)
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


@pytest.mark.slow
def test_what_the_allocators_benchmark_measures_sets_no_allocator_itself():
    # It compares processes that keep memory or use oneDNN with processes that do not.
    code = "import os, sys, made, our_cpce; print('torch' in sys.modules, os.environ.get('{}'))"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/benchmarks:{ROOT}"}
    environment.pop(process.ONEDNN, None)
    command = [sys.executable, "-c", code.format(process.ONEDNN)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "None"]
    tree = ast.parse((ROOT / "benchmarks/allocator.py").read_text(encoding="utf-8"))
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not imported & {"enhance", "train_cpce", "train_circle"}
