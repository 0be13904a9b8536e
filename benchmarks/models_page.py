"""Bring the cards in docs/models.md up to date with those of the shipped models.

python benchmarks/models_page.py
"""

from pathlib import Path

from srmri_tf.models.card import listing, markdown, shipped_card, shipped_names

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
MARKER = "<!-- What follows is written by benchmarks/models_page.py: do not edit it. -->"


def page() -> str:
    """A table of all shipped models, and every card."""
    cards = [shipped_card(name) for name in shipped_names()]
    return "\n".join([listing(cards), *map(markdown, cards)])


def main() -> None:
    head, found, _ = PAGE.read_text(encoding="utf-8").partition(MARKER)
    if not found:
        raise SystemExit(f"{PAGE} has no line {MARKER}")
    PAGE.write_text(f"{head}{MARKER}\n\n{page()}", encoding="utf-8")


if __name__ == "__main__":
    main()
