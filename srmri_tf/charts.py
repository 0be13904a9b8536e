"""Charts as inline SVG: they follow the page's light or dark colours, and need no script."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

COLOURS = 6  # classes c0 to c5 of the style sheet
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 460, 58, 12, 12, 40


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Args:
        name: Its name in the legend.
        x: Positions, such as epochs: whole numbers.
        y: Heights; values that are not finite leave a gap.
        dashed: Draw it dashed: a reference.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@dataclass(frozen=True)
class _Axis:
    """Maps data in [low, high] to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.stop - self.start), 2)


def lines(title: str, x_label: str, y_label: str, series: Sequence[Line]) -> Markup:
    """A line chart with a legend.

    Args:
        title: What it shows, for those who cannot see it.
        x_label: Below the horizontal axis.
        y_label: In the legend's first line.
        series: The lines.
    """
    height = 250
    xs = [x for line in series for x in line.x]
    ys = [y for line in series for y in line.y if math.isfinite(y)]
    if not xs or not ys:
        return Markup("")
    margin = 0.06 * ((max(ys) - min(ys)) or abs(max(ys)) or 1.0)
    across = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    up = _Axis(min(ys) - margin, max(ys) + margin, height - BOTTOM, TOP)
    parts = [*_grid(across, up, height), _text(WIDTH / 2, height - 6, x_label, "middle")]
    for number, line in enumerate(series):
        points = " ".join(
            f"{across(x)},{up(y)}" for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)
        )
        style = f"line c{number % COLOURS}{' dashed' if line.dashed else ''}"
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(style, points))
        if len(line.x) == 1:
            parts.append(_dot(across(line.x[0]), up(line.y[0]), number))
    legend = Markup("").join(
        Markup('<span class="key {}">{}</span>').format(
            f"c{i % COLOURS}{' dashed' if line.dashed else ''}", line.name
        )
        for i, line in enumerate(series)
    )
    return _figure(title, y_label, legend, _svg(title, height, parts))


def boxes(
    title: str,
    x_label: str,
    slices: Mapping[str, Sequence[float]],
    subjects: Mapping[str, Sequence[float]],
) -> Markup:
    """Box plots, one row per method: quartiles and range of slices, subjects' means as dots.

    Args:
        title: What it shows, for those who cannot see it.
        x_label: Below the horizontal axis.
        slices: Values of the slices by method.
        subjects: Means of the subjects by method.
    """
    clean = {name: [v for v in values if math.isfinite(v)] for name, values in slices.items()}
    clean = {name: values for name, values in clean.items() if values}
    if not clean:
        return Markup("")
    row, height = 34, 34 * len(clean) + TOP + BOTTOM
    every = [v for values in clean.values() for v in values]
    left = 20 + 7 * max(len(name) for name in clean)
    across = _Axis(min(every), max(every), left, WIDTH - RIGHT)
    parts = []
    for tick in ticks(across.low, across.high):
        parts.append(_line(across(tick), TOP, across(tick), height - BOTTOM, "grid"))
        parts.append(_text(across(tick), height - BOTTOM + 16, _number(tick), "middle"))
    for number, (name, values) in enumerate(clean.items()):
        middle = TOP + row * (number + 0.5)
        low, first, median, third, high = (
            across(float(v)) for v in np.percentile(values, [0, 25, 50, 75, 100])
        )
        parts.append(_text(left - 8, middle + 4, name, "end"))
        parts.append(_line(low, middle, high, middle, f"line c{number % COLOURS}"))
        parts.append(
            Markup('<rect class="box c{}" x="{}" y="{}" width="{}" height="16"/>').format(
                number % COLOURS, first, middle - 8, round(third - first, 2)
            )
        )
        parts.append(_line(median, middle - 8, median, middle + 8, f"line c{number % COLOURS}"))
        parts += [
            _dot(across(v), middle, number) for v in subjects.get(name, ()) if math.isfinite(v)
        ]
    parts.append(_text((left + WIDTH) / 2, height - 6, x_label, "middle"))
    return _figure(title, title, Markup(""), _svg(title, height, parts))


def _grid(across: _Axis, up: _Axis, height: int) -> list[Markup]:
    parts = []
    for tick in ticks(up.low, up.high):
        parts.append(_line(LEFT, up(tick), WIDTH - RIGHT, up(tick), "grid"))
        parts.append(_text(LEFT - 6, up(tick) + 4, _number(tick), "end"))
    for tick in ticks(across.low, across.high, whole=True):
        parts.append(_text(across(tick), height - BOTTOM + 16, _number(tick), "middle"))
    return parts


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Three to eight round numbers between ``low`` and ``high``; fewer if they must be whole."""
    if high <= low:
        return [low]
    rough = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(m * power for m in (1, 2, 5) if m * power <= rough or m == 1)
    step = max(step, 1.0) if whole else step
    first = math.ceil(low / step)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:.6g}"


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        style, x1, y1, x2, y2
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _dot(x: float, y: float, number: int) -> Markup:
    return Markup('<circle class="dot c{}" cx="{}" cy="{}" r="3.5"/>').format(
        number % COLOURS, x, y
    )


def _svg(title: str, height: int, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    ).format(WIDTH, height, title, Markup("").join(parts))


def _figure(title: str, caption: str, legend: Markup, svg: Markup) -> Markup:
    return Markup("<figure><figcaption>{} {}</figcaption>{}</figure>").format(caption, legend, svg)
