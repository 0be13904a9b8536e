"""Draw one slice of an evaluation with some of its methods only: narrow enough for a page.

    python benchmarks/picture.py EVAL METHOD... -o PICTURE.png [--slice SUBJECT/SESSION:INDEX]

METHODs are named as in EVAL's table; the truth is always drawn last. By default the slice with the
most signal is shown, whoever wins on it.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from srmri_tf.evaluation import gallery
from srmri_tf.evaluation.figure import comparison


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("evaluation", type=Path, metavar="EVAL")
    parser.add_argument("methods", nargs="+", metavar="METHOD")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--slice", dest="place", help="SUBJECT/SESSION:INDEX, one of those kept")
    arguments = parser.parse_args()
    document = json.loads((arguments.evaluation / "metrics.json").read_text(encoding="utf-8"))
    exhibits = gallery.load(arguments.evaluation, document["slices"])
    if arguments.place:
        places = gallery.find(arguments.place, [e.place for e in exhibits])
        shown = next(e for e in exhibits if e.place == places[0])
    else:
        shown = next(e for e in exhibits if "brightest" in e.reasons)
    names = [*arguments.methods, gallery.TRUTH]
    comparison(replace(shown, images={n: shown.images[n] for n in names}), arguments.output)


if __name__ == "__main__":
    main()
