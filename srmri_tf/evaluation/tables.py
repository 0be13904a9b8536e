"""Tables of an evaluation, from what metrics.json says: Markdown and LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srmri_tf.evaluation.baselines import LOW_RESOLUTION
from srmri_tf.evaluation.statistics import FEWEST_PAIRS

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table ready to be written in any markup.

    Args:
        title: What it shows.
        header: Column names; the first column is text, the others are numbers.
        rows: Cells as text.
        notes: What must be said below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def main_table(document: Document) -> Table:
    """Every method in the paper's convention, and what others printed, marked."""
    extra = [key for key in ("nrmse", "high_frequency", "vgg") if key in document["measures"]]
    labels = [document["measures"][key]["label"] for key in extra]
    header = ("method", "PSNR (dB)", "gain", "SSIM", "gain", *labels, "slices", "subjects")
    rows = []
    for name, method in _in_order(document):
        is_input = name == LOW_RESOLUTION
        counts = method["measures"]["psnr"]
        rows.append(
            (
                _marked(name, method),
                _value(document, name, "psnr"),
                "" if is_input else number(method["gains"]["psnr"], 2, sign=True),
                _value(document, name, "ssim"),
                "" if is_input else number(method["gains"]["ssim"], 4, sign=True),
                *(_value(document, name, key) for key in extra),
                str(counts["n_slices"]),
                str(counts["n_subjects"]),
            )
        )
    blank = ("",) * (len(extra) + 2)
    for printed in document["published"]:
        cells = f"{printed['psnr']:.2f}", "", f"{printed['ssim']:.4f}", "", *blank
        rows.append((f"{printed['name']} †", *cells))
    return Table("Results", header, tuple(rows), _notes(document))


def convention_table(document: Document) -> Table:
    """FastMRI's convention, and whole volumes."""
    keys = [k for k in document["measures"] if k in ("psnr_fastmri", "ssim_fastmri")]
    by_volume = [k for k in document["measures"] if k not in keys]
    labels = [document["measures"][k]["label"] for k in keys]
    labels += [f"volume {document['measures'][k]['label']}" for k in by_volume]
    rows = tuple(
        (
            _marked(name, method),
            *(_value(document, name, key) for key in keys),
            *(
                number(method["volumes"][key], document["measures"][key]["digits"])
                for key in by_volume
            ),
        )
        for name, method in _in_order(document)
    )
    notes = (
        "fastMRI columns: range is the maximum of the true volume, SSIM with a uniform 7x7 window.",
        "Volume columns: errors and energies summed over a whole volume, background and all; SSIM "
        "and VGG distance averaged over its slices; mean over subjects.",
    )
    return Table("fastMRI's convention, and per volume", ("method", *labels), rows, notes)


def difference_table(document: Document) -> Table:
    """Paired differences between methods."""
    header = ("difference", "measure", "mean", "95 % (subjects)", "p (subjects)", "SD (slices)")
    rows = []
    for item in document["differences"]:
        if item["measure"] not in ("psnr", "ssim"):
            continue
        digits, count = document["measures"][item["measure"]]["digits"], item["n_subjects"]
        rows.append(
            (
                f"{item['a']} - {item['b']}",
                document["measures"][item["measure"]]["label"],
                number(item["mean"], digits, sign=True),
                interval(item["ci95"], digits).strip() or ("one subject" if count == 1 else "-"),
                _p_value(item["p"]) or (f"too few ({count})" if count < FEWEST_PAIRS else "-"),
                number(item["slice_sd"], digits),
            )
        )
    notes = (
        "95 %: bootstrap interval over subjects. p: Wilcoxon's signed-rank test over subjects, "
        "two-sided, not corrected for the number of comparisons. SD: standard deviation of the "
        "slices' differences; slices of one head are no evidence about other subjects.",
    )
    return Table("Paired differences", header, tuple(rows), notes)


def subject_table(document: Document) -> Table:
    """What each method gains on each subject; no rows where there is only one."""
    methods = document["methods"]
    names = [name for name, _ in _in_order(document)]
    rows = []
    for subject, inputs in methods[LOW_RESOLUTION]["subjects"].items():
        cells = [subject, str(inputs["n_slices"])]
        for name in names:
            measured = methods[name]["subjects"][subject]
            if name == LOW_RESOLUTION:
                cells.append(_scores(measured))
                continue
            gain = {
                key: None if None in (measured[key], inputs[key]) else measured[key] - inputs[key]
                for key in ("psnr", "ssim")
            }
            cells.append(_scores(gain, sign=True))
        rows.append(tuple(cells))
    header = ("subject", "slices", *(_marked(name, methods[name]) for name in names))
    notes = ("PSNR (dB) / SSIM of the lr column; of the others, their gain over it.",)
    return Table("Subject by subject", header, tuple(rows) if len(rows) > 1 else (), notes)


def network_table(document: Document) -> Table:
    """Which networks were measured; no rows in comparisons and in evaluations of before."""
    rows = tuple(
        (
            _marked(name, method),
            method["kind"],
            method["architecture"],
            method["sha256"][:12],
            "not known" if method["trained_on"] is None else str(len(method["trained_on"])),
        )
        for name, method in _in_order(document)
        if "sha256" in method
    )
    header = ("method", "kind", "architecture", "weights", "subjects trained on")
    notes = ("Weights: the first digits of their SHA-256, the same for every format of a network.",)
    return Table("Networks", header, rows, notes)


def tables(document: Document) -> list[Table]:
    """All of them, the main one first."""
    found = [
        main_table(document),
        network_table(document),
        subject_table(document),
        convention_table(document),
        difference_table(document),
    ]
    return [t for t in found if t.rows]


def markdown(table: Table) -> str:
    """As GitHub's Markdown, without the title."""
    lines = [
        f"| {' | '.join(table.header)} |",
        f"| --- |{' ---: |' * (len(table.header) - 1)}",
    ]
    lines += [
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in r)} |" for r in table.rows
    ]
    return "\n".join(lines) + "".join(f"\n\n{note}" for note in table.notes)


def latex(table: Table) -> str:
    """As a LaTeX table for the booktabs package."""
    columns = "l" + "r" * (len(table.header) - 1)
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(table.title)}. {_tex(' '.join(table.notes))}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_tex, table.header)) + r" \\",
        r"\midrule",
        *(" & ".join(map(_tex, row)) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def order(document: Document, name: str) -> int:
    """Where a method stands: the input, baselines, networks, the truth."""
    kind = document["methods"].get(name, {}).get("kind", "truth")
    return {"input": 0, "baseline": 1, "run": 2, "model": 2, "truth": 3}[kind]


def _in_order(document: Document) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(document["methods"].items(), key=lambda item: order(document, item[0]))


def number(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with so many decimals, or a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def interval(bounds: Sequence[float | None] | None, digits: int) -> str:
    """`` [low, high]``, or nothing where there is none or it has no end."""
    if bounds is None or None in bounds:
        return ""
    return f" [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"


def _value(document: Document, method: str, key: str) -> str:
    summary = document["methods"][method]["measures"][key]
    digits = document["measures"][key]["digits"]
    return number(summary["mean"], digits) + interval(summary["ci95"], digits)


def _scores(values: Mapping[str, float | None], *, sign: bool = False) -> str:
    return f"{number(values['psnr'], 2, sign=sign)} / {number(values['ssim'], 4, sign=sign)}"


def _marked(name: str, method: Mapping[str, Any]) -> str:
    return f"{name} (LEAK)" if method["marks"] else name


def _notes(document: Document) -> tuple[str, ...]:
    notes = [
        "Mean over subjects of each subject's mean over slices [95 % bootstrap interval over "
        "subjects]; gains are over the lr row; range 1, SSIM gaussian 11x11.",
    ]
    notes += [
        f"LEAK: {name} {'; '.join(method['marks'])}. Its figures are too good."
        for name, method in document["methods"].items()
        if method["marks"]
    ]
    if document["n_background"]:
        notes.append(f"{document['n_background']} background slices are left out.")
    notes += document["notes"]
    if document["published"]:
        listed = "; ".join(sorted({f"{p['data']}, {p['source']}" for p in document["published"]}))
        notes.append(f"† as printed, on other data: does not compare with this table ({listed}).")
    return tuple(notes)


def _p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


_TEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "†": r"$\dagger$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)
