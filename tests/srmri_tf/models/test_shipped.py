"""What lies in the package's own folder of models, whatever that is, and the page about it."""

import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from data_prep.kspace import upsampled
from srmri_tf.cli import cli
from srmri_tf.cli.data import _prepare_config
from srmri_tf.enhance.config import EnhanceConfig
from srmri_tf.enhance.volume import enhance_volume
from srmri_tf.models import card as cards
from srmri_tf.models.model import load_network
from srmri_tf.recipes.config import CONFIGS

DOCS = Path(__file__).parents[3] / "docs" / "models.md"


def test_every_card_has_weights_and_every_weights_file_a_card():
    found = [path.stem for path in cards.SHIPPED.iterdir() if path.suffix in (".npz", ".toml")]
    assert sorted(found) == sorted(2 * cards.shipped_names())


def test_every_model_opens_is_small_and_has_what_a_card_must_have():
    for name in cards.shipped_names():
        assert cards.weights_file(name).stat().st_size < 1_000_000
        network = load_network(name)
        card = network.card
        assert card.name == name
        assert len(card.contrasts) > 1 or f"-{card.contrast.lower()}-" in name
        assert card.measured is not None
        assert CONFIGS[card.kind].model_validate(card.recipe).model == network.architecture
        assert any("diagnostic" in limit for limit in card.limits)
        lr = np.random.default_rng(0).random((1, 24, 24), np.float32)
        assert np.isfinite(network.super_resolve(lr)).all()


@pytest.mark.parametrize("name", cards.shipped_names())
def test_what_no_low_resolution_scan_has_is_not_blown_up(name):
    # A scan, coarse or interpolated, in which somebody set a part to zero, or that has noise or
    # bright pixels.
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:128j, -1:1:128j]
    distance = np.hypot(rows / 0.8, columns / 0.7)
    texture = gaussian_filter(rng.standard_normal((6, 128, 128)), (0, 4, 4))
    scan = (distance < 1) * np.clip(0.4 + 0.1 * texture / texture.std(), 0, 1)
    scan = gaussian_filter(scan, (0, 1.5, 1.5)).astype(np.float32)
    rectangle = scan.copy()
    rectangle[:, 32:80, 30:78] = 0
    noise = np.float32(0.03) * rng.standard_normal(scan.shape, np.float32)
    network, affine = load_network(name), np.diag([1.0, 1.0, 3.0, 1.0])
    for slices in (
        scan,
        rectangle,
        np.where(distance < 0.6, scan, 0),
        np.where(rng.random(scan.shape) < 1e-3, 1, scan),
        np.abs(scan + noise),
    ):
        slices = slices.astype(np.float32)
        zero_filled = np.abs(upsampled(slices))
        for images, same_grid, limit in ((slices, True, 0.4), (zero_filled, False, 0.8)):
            made = enhance_volume(
                network, slices.transpose(2, 1, 0), affine, EnhanceConfig(same_grid=same_grid)
            )
            change = np.abs(made.voxels.transpose(2, 1, 0) - images).max()
            assert change < limit * slices.max()


def test_the_notice_in_the_wheel_names_the_data_of_every_model():
    notice = (cards.SHIPPED / "LICENSES.md").read_text(encoding="utf-8")
    for name in cards.shipped_names():
        data = cards.shipped_card(name).data
        assert f"| {name} | {data.title} | {data.licence} | {data.attribution} |" in notice


def test_the_commands_of_every_card_are_understood():
    for name in cards.shipped_names():
        card = cards.shipped_card(name)
        for line in (*card.commands, card.measured.command):
            command, _, _ = line.partition(" > ")
            program, *words = shlex.split(command)
            assert program == "srmri-tf"
            found = cli
            while isinstance(found, click.Group):
                found = found.commands[words.pop(0)]
            context = found.make_context(found.name, words)
            if found.name == "prepare":
                made = _prepare_config(context.params)
                assert made.parameters.degradation == card.degradation


def test_the_page_says_what_the_cards_say():
    """`python benchmarks/models_page.py` makes it so."""
    shown = DOCS.read_text(encoding="utf-8")
    for name in cards.shipped_names():
        assert cards.markdown(cards.shipped_card(name)) in shown
    assert cards.listing([cards.shipped_card(name) for name in cards.shipped_names()]) in shown
