"""Draw how runs went: PSNR and SSIM after every epoch, beside those of their own input.

    python benchmarks/curves.py RUN... -o PICTURE.png [--by minutes|epochs]

Everything is read from the runs' log.csv. Minutes are those of training steps, without validation.
A ring marks the epoch after which the whole objective took over from the warm-up. Which slices were
measured is written below: without validation subjects they are slices of the training subjects.
"""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LABELS = {"psnr": "PSNR (dB)", "ssim": "SSIM"}


def read(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def positions(rows: list[dict[str, str]], by: str) -> list[float]:
    """Where each epoch ended: its number, or the minutes of all steps so far."""
    if by == "epochs":
        return [float(row["epoch"]) for row in rows]
    minutes, total = [], 0.0
    for row in rows:
        total += float(row["seconds"]) / 60
        minutes.append(total)
    return minutes


def draw(runs: list[Path], by: str, out: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    logs = {run.name: read(run) for run in runs}
    for axis, (key, label) in zip(axes, LABELS.items(), strict=True):
        for name, rows in logs.items():
            x, y = positions(rows, by), [float(row[key]) for row in rows]
            (line,) = axis.plot(x, y, label=name, linewidth=1.4)
            phases = [row["phase"] for row in rows]
            if "adversarial" in phases and phases[0] != "adversarial":
                turn = phases.index("adversarial") - 1
                axis.plot(x[turn], y[turn], "o", color=line.get_color(), fillstyle="none")
        inputs = sorted({round(float(rows[0][f"lr_{key}"]), 4) for rows in logs.values()})
        for level, name in zip(inputs, ["lr (input)", *[None] * len(inputs)], strict=False):
            axis.axhline(level, color="black", linestyle="--", linewidth=1, label=name)
        axis.set(xlabel=by, ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    measured = sorted({rows[0]["validated_on"] for rows in logs.values()})
    figure.supxlabel(f"measured on slices of: {', '.join(measured)} subjects", fontsize=8)
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--by", choices=("minutes", "epochs"), default="minutes")
    arguments = parser.parse_args()
    draw(arguments.runs, arguments.by, arguments.output)


if __name__ == "__main__":
    main()
