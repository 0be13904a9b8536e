"""Model cards as Markdown: one, a table of all, and the part of a page that follows from them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.atomic import write_text
from data_prep.errors import BadInputError
from srmri_tf.cards import FAR, Interval, Measured, ModelCard, Score, span

MARKER = "<!-- What follows is written by `srmri-tf models --page`: do not edit it. -->"
"""Everything below it in docs/models.md follows from the cards."""


def listing(cards: Sequence[ModelCard]) -> str:
    """A table with a line for each card."""
    if not cards:
        return "No models come with this installation.\n"
    lines = [
        "| name | network | contrast | PSNR gain (dB) | SSIM gain | measured on | trained on |",
        "| --- | --- | --- | ---: | ---: | --- | --- |",
    ]
    for card in cards:
        found = card.measured
        gains = (
            [_gain(found.psnr, 2), _gain(found.ssim, 4), _count(found.subjects, "subject")]
            if found
            else ["-", "-", "nothing yet"]
        )
        cells = [card.name, card.kind, card.contrast, *gains, card.data.title]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def page(cards: Sequence[ModelCard]) -> str:
    """The table and every card."""
    return "\n".join([listing(cards), *(markdown(card) for card in cards)])


def rewrite(path: Path, cards: Sequence[ModelCard]) -> None:
    """Bring what follows `MARKER` in a file up to date.

    Raises:
        BadInputError: The file is missing or has no such line.
        EnvironmentFault: It cannot be written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"cannot be read ({error})", path=path, remedy="Give docs/models.md of the source"
        ) from None
    head, found, _ = text.partition(MARKER)
    if not found:
        raise BadInputError(
            "has no place for the cards",
            path=path,
            remedy=f"Put this line where they are to go: {MARKER}",
        )
    write_text(path, f"{head}{MARKER}\n\n{page(cards)}")


def markdown(card: ModelCard) -> str:
    """One card."""
    lines = [
        f"## {card.name}",
        "",
        card.title,
        "",
        "**Limits**",
        "",
        *(f"- {limit}" for limit in card.limits),
        "",
        *_trained(card),
        "",
        *_measured(card.measured),
        "",
        *_met(card),
        "",
        "**Trained again by**",
        "",
        "```",
        *card.commands,
        "```",
        "",
        f"Weights: SHA-256 `{card.sha256}`; manifest of the training shards: "
        f"`{card.data.manifest_sha256}`.",
    ]
    return "\n".join(lines) + "\n"


_LOW_RESOLUTION = {
    "magnitude": "magnitude of the inverse transform",
    "coarse": "magnitude of the inverse transform at half the matrix, zero-filled to the whole one",
    "real": "real part of the inverse transform",
}


def _trained(card: ModelCard) -> Iterator[str]:
    data, low = card.data, card.degradation
    counts = (
        f"{_count(len(data.labels), 'subject')}, {_count(data.scans, 'scan')}, {data.slices} slices"
    )
    yield f"**Trained on** {data.title} ({card.contrast}): {counts}: {', '.join(data.labels)}."
    yield f"Licence: {data.licence}. {data.attribution}"
    yield (
        f"Low resolution: {low.keep:.0%} of k-space kept by {low.keep_by}, "
        f"{_LOW_RESOLUTION[low.lr]}."
    )


def _met(card: ModelCard) -> Iterator[str]:
    met = card.ranges
    yield (
        f"**Met in training**: pixels of {span(met.in_plane_mm)} mm (of the sharpened grid), "
        f"slices {span(met.slice_mm)} mm apart. Of the head's intensities, as parts of the "
        "volume's maximum:"
    )
    yield ", ".join(f"{name} {span(bounds)}" for name, bounds in met.intensity.items()) + "."
    yield f"`enhance` warns of what lies more than {FAR:g} times outside."


def _measured(measured: Measured | None) -> Iterator[str]:
    if measured is None:
        yield "**Measured**: nothing yet."
        return
    how = {
        "crossval": "networks of this recipe, each on the subjects that it was not trained on",
        "evaluation": "this network on subjects that it was not trained on",
    }[measured.protocol]
    yield (
        f"**Measured** on {measured.data}: {how}. "
        f"{_count(measured.subjects, 'subject').capitalize()}, {measured.slices} slices; mean over "
        "subjects, range 1, 95 % bootstrap intervals. The one over slices says how sure the gain "
        "is on these very subjects, and nothing of others."
    )
    header = ("measure", "low resolution", "this network", "gain", "over subjects", "over slices")
    yield from ("", f"| {' | '.join(header)} |", "| --- |" + " ---: |" * (len(header) - 1))
    rows = (
        ("PSNR (dB)", measured.psnr, 2),
        ("SSIM", measured.ssim, 4),
        ("PSNR (dB) with data consistency", measured.psnr_consistent, 2),
        ("SSIM with data consistency", measured.ssim_consistent, 4),
    )
    for label, score, digits in rows:
        if score:
            yield (
                f"| {label} | {score.input:.{digits}f} | {score.output:.{digits}f} "
                f"| {score.gain:+.{digits}f} | {_interval(score.ci95, digits) or 'one subject'} "
                f"| {_interval(score.slice_ci95, digits) or '-'} |"
            )
    yield from ("", f"By `{measured.command}`.")


def _gain(score: Score, digits: int) -> str:
    interval = _interval(score.ci95, digits)
    return f"{score.gain:+.{digits}f}" + (f" [{interval}]" if interval else "")


def _interval(bounds: Interval | None, digits: int) -> str:
    if bounds is None:
        return ""
    low, high = bounds
    return f"{low:+.{digits}f}, {high:+.{digits}f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
