"""Tables as Markdown and LaTeX, by hand."""

from srmri_tf import tables
from srmri_tf.tables import Table

TABLE = Table("A & B", ("method", "x_1"), (("a|b", "50 %"), ("c †", "-1")), ("A note.",))


def test_markdown():
    assert tables.markdown(TABLE).splitlines() == [
        "| method | x_1 |",
        "| --- | ---: |",
        r"| a\|b | 50 % |",
        "| c † | -1 |",
        "",
        "A note.",
    ]


def test_latex_is_escaped():
    text = tables.latex(TABLE)
    assert r"\caption{A \& B. A note.}" in text
    assert r"a|b & 50 \% \\" in text
    assert r"c $\dagger$ & -1 \\" in text
    assert r"x\_1" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2


def test_numbers():
    assert tables.number(None, 2) == "-"
    assert tables.number(1.234, 2, sign=True) == "+1.23"
    assert tables.interval((1, 2), 1) == " [1.0, 2.0]"
    assert tables.interval(None, 1) == ""
