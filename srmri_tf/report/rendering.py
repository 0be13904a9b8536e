"""Templates to HTML: every page has the same style and script, and needs nothing but itself."""

from typing import Any


def render(template: str, **context: Any) -> str:
    """A page as one self-contained text.

    Args:
        template: Its file in ``templates/``.
        context: What it shows; all text is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("srmri_tf.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["verdict"] = verdict
    return environment.get_template(template).render(context)


def verdict(cell: str) -> str:
    """``better`` or ``worse`` for gains such as ``+0.31`` or ``+0.31 / +0.002``, else nothing."""
    parts = cell.split(" / ")
    if not all(part[:1] in {"+", "-"} for part in parts):
        return ""
    try:
        gains = [float(part) for part in parts]
    except ValueError:
        return ""
    if all(gain > 0 for gain in gains):
        return "better"
    return "worse" if all(gain < 0 for gain in gains) else ""
