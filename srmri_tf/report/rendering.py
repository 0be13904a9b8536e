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
    text = environment.get_template(template).render(context)
    # A file's name may be none in UTF-8; a page must be.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
