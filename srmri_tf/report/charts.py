"""Charts for the report: SVG in data URIs, with grey axes that suit a light and a dark page."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator

GREY = "#7a8089"
COLOURS = (GREY, "#2f81d6", "#cf6a1e", "#1f9d7a", "#b04fa3", "#a58a00")
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.alpha": 0.25,
    "grid.color": GREY,
    "legend.frameon": False,
    "legend.labelcolor": GREY,
    "svg.fonttype": "none",  # text stays text: a tenth of the size
    "svg.hashsalt": "srmri-tf",
    "xtick.color": GREY,
    "ytick.color": GREY,
}


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        title: What it shows, for those who cannot see it.
        uri: The SVG as a data URI.
    """

    title: str
    uri: str


def lines(
    title: str, x: Sequence[float], y_label: str, series: Mapping[str, Sequence[float]]
) -> Chart | None:
    """Values by epoch; None if there are none.

    Args:
        title: What it shows.
        x: Epochs.
        y_label: What is on the vertical axis.
        series: Name -> a value for each epoch; what is not finite leaves a gap. The first one is a
            reference and is drawn dashed.
    """
    if not any(map(math.isfinite, (value for values in series.values() for value in values))):
        return None
    with context(["default", _STYLE]):
        figure, axes = _empty(height=2.4)
        for number, (name, values) in enumerate(series.items()):
            style = "--" if number == 0 else "-"
            marker = "o" if len(x) == 1 else ""
            axes.plot(x, values, style, marker=marker, color=_colour(number), label=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=y_label)
        axes.legend()
        return Chart(title, _uri(figure))


def boxes(
    title: str,
    x_label: str,
    slices: Mapping[str, Sequence[float]],
    subjects: Mapping[str, Sequence[float]],
) -> Chart | None:
    """Box plots, one row per method: quartiles and range of slices, subjects' means as dots.

    Args:
        title: What it shows.
        x_label: Below the horizontal axis.
        slices: Values of the slices by method; what is not finite is left out.
        subjects: Means of the subjects by method.
    """
    finite = {name: [v for v in values if math.isfinite(v)] for name, values in slices.items()}
    shown = {name: values for name, values in finite.items() if values}
    if not shown:
        return None
    with context(["default", _STYLE]):
        figure, axes = _empty(height=0.8 + 0.35 * len(shown))
        for number, (name, values) in enumerate(shown.items()):
            colour = _colour(number)
            line = {"color": colour}
            axes.boxplot(
                values,
                orientation="horizontal",
                whis=(0, 100),
                positions=[number],
                widths=0.5,
                tick_labels=[name],
                patch_artist=True,
                boxprops={"facecolor": f"{colour}38", "edgecolor": colour},
                medianprops=line,
                whiskerprops=line,
                capprops=line,
            )
            axes.plot(subjects[name], [number] * len(subjects[name]), "o", color=colour, ms=4)
        axes.invert_yaxis()
        axes.set(xlabel=x_label)
        return Chart(title, _uri(figure))


def _empty(height: float) -> tuple[Figure, Axes]:
    """A transparent figure of a column's width; the height is in inches."""
    figure = Figure(figsize=(5.2, height), layout="constrained", facecolor="none")
    axes = figure.subplots()
    axes.set_facecolor("none")
    axes.grid(True)
    return figure, axes


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _uri(figure: Figure) -> str:
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
