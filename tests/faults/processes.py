"""Commands that are killed, that find a full disk, or that are given what cannot be used."""

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_prep.download.archive import extract
from data_prep.errors import SrmriError
from srmri_tf.models import checkpoint
from srmri_tf.recipes import to_toml
from tests.data_prep.phantoms import phantom, save
from tests.faults.damage import Row, digest, digest_of
from tests.faults.files import CONFIGS, SIDE, shards_in

CODES = {0: "done", 2: "refused", 3: "refused", 4: "refused", 5: "refused", 6: "refused"}


def command(*arguments: object) -> list[str]:
    """A command line of this package."""
    return [sys.executable, "-m", "srmri_tf", *map(str, arguments)]


def killed(
    name: str, arguments: Sequence[object], result: Callable[[], bytes], expected: bytes, kills: int
) -> Row:
    """Kill a command at random moments, then let it end: the result is the undisturbed one's.

    Every third kill is a SIGTERM, as a scheduler sends it.
    """
    row, rng = Row(name), random.Random(0)
    longest = 2.0
    for kill in range(kills + 1):
        started = time.monotonic()
        process = subprocess.Popen(
            command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            process.communicate(timeout=rng.uniform(0.1, 1) * longest if kill < kills else 300)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM if kill % 3 == 2 else signal.SIGKILL)
            process.communicate()
            longest = min(40.0, longest * 1.6)
        outcome = {-9: "killed", 130: "killed", -15: "killed by SIGTERM before it could tell"}.get(
            process.returncode, CODES.get(process.returncode, "not caught")
        )
        if outcome == "done" and kill < kills:
            longest = time.monotonic() - started
        row.found[outcome] += 1
        if outcome == "not caught":
            row.unexpected.append(f"exit code {process.returncode}")
    if result() != expected:
        row.unexpected.append("the result differs from an undisturbed one's")
    return row


def kills(folder: Path, count: int) -> Iterator[Row]:
    """prepare, fit of both GANs, and enhance."""
    made = shards_in(folder)
    again, rule = folder / "again", ("--val-fraction", "0.25", "--test-fraction", "0.25")
    yield killed(
        "prepare, killed",
        ("prepare", folder / "scans", "-o", again, "--patch-size", SIDE, *rule, "--workers", 2),
        lambda: digest_of(again, "*.tfrecord"),
        digest_of(made, "*.tfrecord"),
        4 * count,
    )
    for name, config in CONFIGS.items():
        recipe = folder / f"{name}.toml"
        recipe.write_text(to_toml(config))
        run = [folder / f"{name}-{n}" for n in range(2)]
        fit = [("fit", name, made, "-o", r, "--recipe", recipe, "--devices", 1) for r in run]
        subprocess.run(command(*fit[0]), check=True, capture_output=True)
        yield killed(
            f"fit {name}, killed",
            fit[1],
            lambda run=run: _weights(run[1]),
            _weights(run[0]),
            count,
        )
    out = [folder / f"out{n}" for n in range(2)]
    enhance = [("enhance", folder / "scans", "-o", o, "--model", folder / "cpce-0") for o in out]
    subprocess.run(command(*enhance[0]), check=True, capture_output=True)
    yield killed(
        "enhance, killed",
        enhance[1],
        lambda: digest_of(out[1], "*.nii.gz"),
        digest_of(out[0], "*.nii.gz"),
        count,
    )


def _weights(run: Path) -> bytes:
    arrays, _ = checkpoint.load(run / "checkpoint.npz")
    return digest(*[x for name in sorted(arrays) for x in (name, arrays[name])])


def disks(folder: Path) -> Iterator[Row]:
    """The same commands on a file system that is too small, if this system lets one be made."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return
    row = Row("full disk")
    try:
        made = shards_in(folder)
        recipe = folder / "recipe.toml"
        recipe.write_text(to_toml(CONFIGS["cpce"]))
        scan = save(folder / "scan.nii.gz", phantom((40, 36, 8)))
        for arguments in (
            ("prepare", folder / "scans", "-o", disk / "shards", "--patch-size", SIDE),
            ("fit", "cpce", made, "-o", disk / "run", "--recipe", recipe),
            ("enhance", scan, "-o", disk / "out.nii.gz"),
            ("export", "cpce-t2-x2", "-o", disk / "model"),
        ):
            code = subprocess.run(command(*arguments), capture_output=True, check=False).returncode
            row.found[CODES.get(code, "not caught")] += 1
            if code != 5:
                row.unexpected.append(f"{arguments[0]}: exit code {code}, not 5")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    yield row


def archives(folder: Path) -> Iterator[Row]:
    """Members of archives that would write somewhere else, or are no files."""
    row = Row("hostile archive")
    names = ("/abs/evil", "../evil", "a/../../evil", "a//../../evil", "evil", "./../evil")
    types = (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    for number, (name, kind) in enumerate((n, k) for n in names for k in types):
        if (name, kind) == ("evil", tarfile.REGTYPE):
            continue  # that one is a file
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0
        path = folder / f"{number}.tar"
        with tarfile.open(path, "w") as tar:
            tar.addfile(member, io.BytesIO(b""))
        out = folder / "deep" / "out"
        before = {p.name for p in folder.rglob("*")}
        try:
            extract(path, out, lambda name: name.rsplit("/", 1)[-1])
            outcome = "another result"
            row.unexpected.append(f"{name}, type {kind!r} was unpacked")
        except SrmriError:
            outcome = "refused"
        row.found[outcome] += 1
        if {p.name for p in folder.rglob("*")} != before:
            row.unexpected.append(f"{name}, type {kind!r} left something")
    yield row


WRONG = (
    "seed=-1",
    "seed=1.5",
    "seed=x",
    "batch_size=0",
    "batch_size=1000000",
    "generator.shortcut=3",
    "generator.depth=3",
    "objective.l1=-1",
    "objective.l1=nan",
    "objective.l1=inf",
    "objective.perceptual_share=0",
    "objective.own={'x'=1}",
    "objective.own={'os:absent'=1}",
    "objective=1",
    "schedule.epochs=-1",
    "schedule.epochs=1e3",
    "schedule.learning_rate=0",
    "schedule.decay_from=2",
    "optimizer.beta_1=1",
    "validation.monitor='loss'",
    "vgg_weights='/absent.h5'",
    "precision='double'",
    "model='gan'",
    "model='circle'",
    "seed=1\nbatch_size=2",
    "",
    "=1",
    "seed",
)


def configurations(folder: Path) -> Iterator[Row]:
    """Settings that cannot be used, each in a command of its own: nothing is written."""
    made, row = shards_in(folder), Row("wrong setting")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for number, setting in enumerate(WRONG):
        run = folder / f"run{number}"
        process = subprocess.run(
            command("fit", "cpce", made, "-o", run, "--set", setting),
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        outcome = CODES.get(process.returncode, "not caught")
        row.found[outcome] += 1
        if outcome != "refused" or run.exists() or "Traceback" in process.stderr:
            row.unexpected.append(f"{setting!r}: exit code {process.returncode}")
    yield row
