"""Tables as Markdown and LaTeX, by hand."""

import pytest

from srmri_tf.evaluation import tables
from srmri_tf.evaluation.tables import Table

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


def document_of(subjects: dict[str, list[tuple[float, float]]]) -> dict:
    """A document with two methods: each subject's PSNR of lr and of run."""
    return {
        "methods": {
            method: {
                "kind": kind,
                "marks": [],
                "subjects": {
                    name: {"n_slices": 7, "psnr": values[place][0], "ssim": values[place][1]}
                    for name, values in subjects.items()
                },
            }
            for place, (method, kind) in enumerate([("lr", "input"), ("run", "run")])
        }
    }


def test_every_subject_has_its_own_gains():
    found = tables.subject_table(
        document_of(
            {"a": [(30.0, 0.9), (31.5, 0.95)], "b": [(40.0, 0.99), (39.0, 0.98)]},
        )
    )
    assert found.header == ("subject", "slices", "lr", "run")
    assert found.rows == (
        ("a", "7", "30.00 / 0.9000", "+1.50 / +0.0500"),
        ("b", "7", "40.00 / 0.9900", "-1.00 / -0.0100"),
    )


def test_a_single_subject_is_the_main_table():
    assert tables.subject_table(document_of({"a": [(30.0, 0.9), (31.0, 0.9)]})).rows == ()


def test_an_infinite_psnr_has_no_gain():
    found = tables.subject_table(
        document_of({"a": [(30.0, 0.9), (None, 1.0)], "b": [(30.0, 0.9), (30.0, 0.9)]})
    )
    assert found.rows[0][3] == "- / +0.1000"


@pytest.mark.parametrize(
    ("subjects", "p", "cells"),
    [
        (1, None, ("one subject", "too few (1)")),
        (5, None, ("[0.00, 0.00]", "too few (5)")),
        (8, None, ("[0.00, 0.00]", "-")),  # all differences are zero
        (8, 0.5, ("[0.00, 0.00]", "0.500")),
    ],
)
def test_why_a_difference_has_no_p(subjects, p, cells):
    interval = None if subjects == 1 else (0.0, 0.0)
    item = {"a": "x", "b": "y", "measure": "psnr", "mean": 0.0, "ci95": interval, "p": p}
    item |= {"n_subjects": subjects, "slice_sd": 0.0}
    measures = {"psnr": {"label": "PSNR (dB)", "digits": 2}}
    (row,) = tables.difference_table({"differences": [item], "measures": measures}).rows
    assert row[3:5] == cells
