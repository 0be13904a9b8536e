"""Run the campaign: ``python -m tests.faults [--quick]``; exit code 1 if anything is unexpected."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from srmri_tf.cli.process import configure

configure()

from tests.faults import files, processes
from tests.faults.damage import Row

Stage = Callable[[Path], Iterator[Row]]


def stages(quick: bool) -> dict[str, Stage]:
    """What is tried, in this order."""
    tries, kills = (40, 1) if quick else (200, 3)
    return {
        "scans": lambda folder: files.scans(folder, tries),
        "shards": lambda folder: files.shards(folder, tries),
        "archives": processes.archives,
        "runs": lambda folder: files.runs(folder, tries),
        "disks": processes.disks,
        "configurations": processes.configurations,
        "kills": lambda folder: processes.kills(folder, kills),
    }


def main() -> None:
    """Print a row per kind of fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the faults")
    parser.add_argument("--only", help="one of the stages")
    options = parser.parse_args()
    started, unexpected = time.monotonic(), []
    print(f"{'fault':<32}{'tries':>7}{'refused':>9}{'no effect':>11}{'unexpected':>12}  other")
    for name, stage in stages(options.quick).items():
        if options.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for row in stage(Path(folder)):
                found, total = row.found, sum(row.found.values())
                others = {k: n for k, n in found.items() if k not in ("refused", "no effect")}
                other = ", ".join(f"{key}: {count}" for key, count in others.items())
                print(
                    f"{row.name:<32}{total:>7}{found['refused']:>9}{found['no effect']:>11}"
                    f"{len(row.unexpected):>12}  {other}",
                    flush=True,
                )
                unexpected += [f"{row.name}: {line}" for line in row.unexpected]
    print(f"{time.monotonic() - started:.0f} s")
    for line in unexpected[:50]:
        print(line, file=sys.stderr)
    sys.exit(bool(unexpected))


if __name__ == "__main__":
    main()
