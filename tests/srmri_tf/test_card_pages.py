"""Cards as a person reads them."""

import pytest

from data_prep.errors import BadInputError
from srmri_tf.card_pages import MARKER, listing, markdown, page, rewrite
from srmri_tf.cards import LIMITS, Score

from .test_cards import make_card


def test_a_card_says_everything():
    text = markdown(make_card())
    for limit in LIMITS:
        assert f"- {limit}" in text
    for said in (
        "## cpce-t2-x2",
        "**Trained on** Phantoms (T2): 2 subjects, 3 scans, 90 slices: p1, p2.",
        "Licence: CC BY 4.0. Drawn by hand.",
        "25% of k-space kept by area",
        "| PSNR (dB) | 30.00 | 31.50 | +1.50 | +1.25, +1.75 | +1.45, +1.55 |",
        "| SSIM | 0.9000 | 0.9200 | +0.0200 | +0.0125, +0.0275 | - |",
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
    assert "| PSNR (dB) with data consistency | 30.00 | 32.00 | +2.00 | one subject | - |" in text
    assert "1 subject, 60 slices" in text


def test_the_list():
    text = listing([make_card(), make_card(name="new", measured=None)])
    assert text.splitlines()[2:] == [
        "| cpce-t2-x2 | cpce | T2 | +1.50 [+1.25, +1.75] | +0.0200 [+0.0125, +0.0275] "
        "| 2 subjects | Phantoms |",
        "| new | cpce | T2 | - | - | nothing yet | Phantoms |",
    ]
    assert listing([]) == "No models come with this installation.\n"


def test_a_page_is_brought_up_to_date(tmp_path):
    path = tmp_path / "models.md"
    path.write_text(f"# Ours\n\n{MARKER}\n\nold\n")
    for _ in range(2):
        rewrite(path, [make_card()])
        assert path.read_text() == f"# Ours\n\n{MARKER}\n\n{page([make_card()])}"


def test_a_page_without_a_place_for_cards_is_left_alone(tmp_path):
    path = tmp_path / "models.md"
    path.write_text("# Ours\n")
    with pytest.raises(BadInputError, match="no place for the cards"):
        rewrite(path, [make_card()])
    assert path.read_text() == "# Ours\n"
    with pytest.raises(BadInputError, match=r"absent\.md: cannot be read"):
        rewrite(tmp_path / "absent.md", [])
