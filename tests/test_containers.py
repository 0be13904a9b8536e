"""Dockerfile and apptainer.def: what they name is there, and both do the same.

Neither is built here: that takes a daemon or a cluster's tools, and a registry of images.
"""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER = (ROOT / "Dockerfile").read_text(encoding="utf-8")
APPTAINER = (ROOT / "apptainer.def").read_text(encoding="utf-8")
INSTALL = re.compile(r'pip install --no-cache-dir "(/\S+)\[(\w+)\]" && rm -rf (\S+)')


def test_what_is_copied_is_there_and_is_the_same():
    copied = [words.split() for words in re.findall(r"^COPY (.+)$", DOCKER, re.MULTILINE)]
    docker = {source for *sources, _ in copied for source in sources}
    files = APPTAINER.partition("%files\n")[2].partition("\n\n")[0]
    apptainer = dict(line.split() for line in files.splitlines())
    assert docker == set(apptainer)
    for source, target in apptainer.items():
        assert (ROOT / source).exists()
        assert target == f"/opt/srmri-tf/{source}"
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == docker


@pytest.mark.parametrize("text", [DOCKER, APPTAINER])
def test_what_is_installed_is_the_package_with_an_extra_that_there_is(text):
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    folder, extra, removed = INSTALL.search(text).groups()
    assert folder == removed == "/opt/srmri-tf"
    assert extra in config["options.extras_require"]
    assert "gpu" not in text.replace("without a GPU", "").lower()


def test_both_have_one_base_and_one_command_and_docker_s_is_not_root():
    (image,) = re.findall(r"^FROM (\S+)$", DOCKER, re.MULTILINE)
    assert re.findall(r"^From: (\S+)$", APPTAINER, re.MULTILINE) == [image]
    assert 'ENTRYPOINT ["srmri-tf"]' in DOCKER
    assert 'exec srmri-tf "$@"' in APPTAINER
    users = re.findall(r"^USER (\S+)$", DOCKER, re.MULTILINE)
    assert users == ["srmri"]
    assert "useradd --no-create-home srmri" in DOCKER
