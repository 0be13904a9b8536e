"""Cards: their figures' definitions, TOML, and what is far from training."""

import numpy as np
import pytest

from data_prep.errors import ConfigError, CorruptArtefactError
from data_prep.kspace import Degradation
from srmri_tf.models import card as cards
from srmri_tf.models.card import (
    LIMITS,
    Data,
    Measured,
    ModelCard,
    Origin,
    Ranges,
    Score,
    head_statistics,
    listing,
    markdown,
    read_card,
    to_toml,
)

INIT = Origin(name="l1-t2-x2", sha256="c" * 64, subjects=("p7", "p8"))


def make_card(name="cpce-t2-x2", sha256="a" * 64, **changes):
    """A card with figures that are easy to recognise."""
    said = {
        "name": name,
        "kind": "cpce",
        "contrast": "T2",
        "title": "GAN-CPCE for T2",
        "sha256": sha256,
        "degradation": Degradation(),
        "data": Data(
            title="Phantoms",
            licence="CC BY 4.0",
            attribution="Drawn by hand.",
            labels=("p1", "p2"),
            scans=3,
            slices=90,
            manifest_sha256="b" * 64,
        ),
        "measured": Measured(
            protocol="crossval",
            command="srmri-tf crossval cpce shards",
            data="Phantoms: p1, p2",
            subjects=2,
            slices=60,
            psnr=Score(input=30.0, output=31.5, gain=1.5, ci95=(1.25, 1.75)),
            ssim=Score(input=0.9, output=0.92, gain=0.02, ci95=(0.0125, 0.0275)),
        ),
        "ranges": Ranges(
            in_plane_mm=(0.5, 0.6),
            slice_mm=(3.0, 3.3),
            intensity={"mean": (0.2, 0.3), "p99": (0.6, 0.9)},
        ),
        "recipe": {"model": "cpce", "generator": {"shortcut": True}},
        "commands": ("srmri-tf fit cpce shards -o run",),
    }
    return ModelCard(**{**said, **changes})


def test_a_card_survives_toml(tmp_path):
    for card in (make_card(), make_card(measured=None), make_card(init=INIT)):
        (tmp_path / "card.toml").write_text(to_toml(card))
        assert read_card(tmp_path / "card.toml") == card


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "cpce"', 'kind = "unet"', "kind"),
        ('contrast = "T2"', 'contrast = "T2"\ncolour = "red"', "colour"),
        ('contrast = "T2"', "", "contrast"),
        ('contrast = "T2"', "contrast =", "Invalid"),
    ],
)
def test_a_card_that_cannot_be_read_is_named(tmp_path, old, new, message):
    path = tmp_path / "bad.toml"
    path.write_text(to_toml(make_card()).replace(old, new))
    with pytest.raises(CorruptArtefactError, match=rf"bad\.toml: is not a model card.*{message}"):
        read_card(path)


def test_head_statistics_by_hand():
    """Background of 0 and faint noise, tissue of 20 to 40, one vessel of 200."""
    tissue = np.repeat([20.0, 30.0, 40.0], [10, 80, 10])
    volume = np.concatenate([np.zeros(500), np.full(300, 1.0), tissue, [200.0]])
    found = head_statistics(volume.reshape(1, 17, 53).astype(np.float32))
    head = np.sort(np.append(tissue, 200.0)) / 200  # 1 is not above a tenth of the 99th percentile
    assert found["mean"] == pytest.approx(head.mean())
    for percent in (10, 50, 90, 99):
        assert found[f"p{percent}"] == pytest.approx(np.percentile(head, percent))
    assert found["p50"] == pytest.approx(0.15)


def test_head_statistics_do_not_depend_on_the_scale():
    volume = np.random.default_rng(0).gamma(2.0, 100.0, (4, 20, 20)).astype(np.float32)
    first, second = head_statistics(volume), head_statistics(volume / volume.max())
    assert first == pytest.approx(second, rel=1e-5)
    assert head_statistics(np.zeros((2, 2, 2))) == {}


def test_what_is_far_from_training_is_said():
    ranges = make_card().ranges
    usual = {"mean": 0.25, "p99": 0.7}
    assert ranges.out_of_range((0.55, 0.55), 3.0, usual) == []
    assert ranges.out_of_range((0.5 / 1.5, 0.6 * 1.5), 3.0, usual) == []  # just within
    (spacing,) = ranges.out_of_range((0.95, 0.95), 3.0, usual)
    assert spacing == "in-plane spacing 0.95 mm, but 0.5 to 0.6 in training"
    (across,) = ranges.out_of_range((0.5, 0.5), 1.0, usual)
    assert across == "slice spacing 1 mm, but 3 to 3.3 in training"
    same = ranges.model_copy(update={"slice_mm": (3.0, 3.0)})
    assert same.out_of_range((0.5, 0.5), 1.0, usual) == ["slice spacing 1 mm, but 3 in training"]
    (dark,) = ranges.out_of_range((0.5, 0.5), 3.0, {"mean": 0.05, "p99": 0.7})
    assert dark == (
        "mean of the head's intensities 0.05 of the maximum, but 0.2 to 0.3 in training"
    )
    assert ranges.out_of_range((0.5, 0.5), 3.0, {}) == ["no voxel is above zero"]
    assert len(ranges.out_of_range((5.0, 0.01), 30.0, {"mean": 0.9, "p99": 0.1})) == 5


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "SHIPPED", tmp_path)
    for name in ("circle-t2-x2", "cpce-t2-x2", "no-weights"):
        cards.card_file(name).write_text(to_toml(make_card(name=name)))
        if name != "no-weights":
            cards.weights_file(name).write_bytes(b"")
    return tmp_path


def test_shipped_models_are_those_with_card_and_weights(shipped):
    assert cards.shipped_names() == ["circle-t2-x2", "cpce-t2-x2"]
    assert cards.shipped_card("cpce-t2-x2") == make_card()
    with pytest.raises(ConfigError, match="did you mean cpce-t2-x2"):
        cards.shipped_card("cpce-t2-x4")
    with pytest.raises(ConfigError, match="no model named unet"):
        cards.shipped_card("unet")


def test_a_card_says_everything():
    text = markdown(make_card())
    for limit in LIMITS:
        assert f"- {limit}" in text
    for said in (
        "## cpce-t2-x2",
        "**Trained on** Phantoms (T2): 2 subjects, 3 scans, 90 slices: p1, p2.",
        "Licence: CC BY 4.0. Drawn by hand.",
        "25% of k-space kept by area",
        "| PSNR (dB) | 30.00 | 31.50 | +1.50 | +1.25, +1.75 |",
        "| SSIM | 0.9000 | 0.9200 | +0.0200 | +0.0125, +0.0275 |",
        "By `srmri-tf crossval cpce shards`.",
        "pixels of 0.5 to 0.6 mm",
        "slices 3 to 3.3 mm apart",
        "mean 0.2 to 0.3, p99 0.6 to 0.9.",
        "srmri-tf fit cpce shards -o run",
        "a" * 64,
        "b" * 64,
    ):
        assert said in text
    assert "consistency" not in text


def test_consistency_and_a_single_subject():
    measured = make_card().measured.model_copy(
        update={"psnr_consistent": Score(input=30.0, output=32.0, gain=2.0), "subjects": 1}
    )
    text = markdown(make_card(measured=measured))
    assert "| PSNR (dB) with data consistency | 30.00 | 32.00 | +2.00 | one subject |" in text
    assert "1 subject, 60 slices" in text


def test_the_list():
    text = listing([make_card(), make_card(name="new", measured=None)])
    assert text.splitlines()[2:] == [
        "| cpce-t2-x2 | cpce | T2 | +1.50 [+1.25, +1.75] | +0.0200 [+0.0125, +0.0275] "
        "| 2 subjects | Phantoms |",
        "| new | cpce | T2 | - | - | nothing yet | Phantoms |",
    ]
    assert listing([]) == "No models come with this installation.\n"


def test_a_card_of_before_with_intervals_over_slices_is_read():
    said = make_card().model_dump()
    said["measured"]["psnr"]["slice_ci95"] = (1.45, 1.55)
    assert ModelCard.model_validate(said) == make_card()


def test_a_card_says_what_training_began_with():
    assert "Began with" not in markdown(make_card())
    page = markdown(make_card(init=INIT))
    assert f"Began with the weights of l1-t2-x2 (SHA-256 `{'c' * 64}`, trained on p7, p8)." in page
