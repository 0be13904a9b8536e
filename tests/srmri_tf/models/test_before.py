"""What version 0.1 wrote still opens: runs, shards, exported models and evaluations."""

from pathlib import Path

import numpy as np
import pytest

from data_prep.shards.files import verify
from srmri_tf.models.model import load_network
from srmri_tf.report.page import report

BEFORE = Path(__file__).parents[2] / "before"


@pytest.fixture(scope="module")
def expected():
    """What the networks gave in version 0.1."""
    with np.load(BEFORE / "expected.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("model", "architecture"),
    [
        ("cpce", "cpce"),
        ("model.npz", "cpce"),
        ("model.keras", "cpce"),
        ("circle", "circle"),
        ("model", "circle"),
    ],
)
def test_models_open_and_compute_what_they_did(model, architecture, expected):
    network = load_network(BEFORE / model)
    found = network.super_resolve(expected["lr"])
    np.testing.assert_allclose(found, expected[architecture], atol=1e-5)


def test_shards_open():
    assert verify(BEFORE / "shards").subjects("test") == ["s4", "s5"]


def test_an_evaluation_becomes_a_report(tmp_path):
    page = report(BEFORE / "evaluation", tmp_path / "report.html")
    assert "cpce" in page.read_text(encoding="utf-8")
