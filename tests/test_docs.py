"""The documents: files that they name exist, and so do the options of the commands they show."""

import re
from pathlib import Path

import pytest

from srmri_tf.cli import cli
from srmri_tf.recipes.config import CONFIGS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.sh"))
FENCED = re.compile(r"^ *```.*?\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
NAMED = re.compile(r"(?<![\w/.-])(?:srmri_tf|data_prep|tests|benchmarks|docs)/[\w/-]+\.\w+")


def name(path):
    return str(path.relative_to(ROOT))


def commands(path):
    """(COMMAND, the rest of its line) of everything that calls `srmri-tf`."""
    text = path.read_text(encoding="utf-8")
    lines = re.sub(r"\\\n *", " ", text).splitlines()
    if path.suffix == ".md":
        inline = (m.replace("\n", " ") for m in INLINE.findall(FENCED.sub("", text)))
        blocks = (line for block in FENCED.findall(text) for line in joined(block))
        indented = (line for line in lines if line.startswith("    "))
        lines = [*inline, *blocks, *indented]
    for line in lines:
        for call in line.split("srmri-tf ")[1:]:
            command, _, rest = call.partition(" ")
            if command in cli.commands:
                yield command, re.split(r"[|;#)`]", rest)[0]


def joined(block):
    """Lines of a block of code, each with those that continue it."""
    return re.sub(r"\\?\n {8,}|\\\n *", " ", block).splitlines()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_files_that_a_document_names_exist(path):
    named = {n for n in NAMED.findall(path.read_text(encoding="utf-8")) if "/NAME." not in n}
    assert not sorted(n for n in named if not (ROOT / n).exists())


@pytest.mark.parametrize("path", [*DOCUMENTS, *SCRIPTS], ids=name)
def test_options_of_the_commands_shown_exist(path):
    unknown = set()
    for command, rest in commands(path):
        known = {flag for option in cli.commands[command].params for flag in option.opts}
        group = getattr(cli.commands[command], "commands", {})
        for sub in group:
            if sub in rest.split():
                known |= {flag for option in group[sub].params for flag in option.opts}
        given = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", rest)) - {"--help"}
        unknown |= {(command, option) for option in given - known}
    assert not unknown


@pytest.mark.parametrize("path", [*DOCUMENTS, *SCRIPTS], ids=name)
def test_settings_of_the_commands_shown_exist(path):
    text = path.read_text(encoding="utf-8")
    keys = set(re.findall(r"--set[ \n]+([a-z_0-9]+(?:\.[a-z_0-9]+)*)=", text))
    assert not {key for key in keys if not any(has(c, key) for c in CONFIGS.values())}


def has(section, key):
    """Whether a section of settings, or one within it, has a key."""
    first, _, rest = key.partition(".")
    if first not in section.model_fields:
        return False
    return not rest or has(section.model_fields[first].annotation, rest)
