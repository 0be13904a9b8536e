"""How fast is `prepare`? Against a straightforward loop, and against the least that must be done.

    python benchmarks/prepare.py [SCAN...] [--workers 2] [--quick] [--json FILE]

All ways take turns, round by round; ratios are medians over the rounds. All get the same copies of
the given scans, from the page cache, and write to the same disk:

- straightforward: nibabel, numpy.fft, one tf.train.Example per patch, TFRecordWriter;
- floor: decompress with isal and write as many bytes as prepare does, no more;
- prepare: the real thing, process start-up included.

Only the time of the loop itself is counted for the first two, not their imports and not the start
of their processes. The loop is timed on a quarter of the volumes and scaled up.
`vs_straightforward` and `time_vs_floor` are against one process; the ratios that end in
`same_workers` are against as many processes as prepare had. `parts, ms a volume` is what of
prepare's work cannot be left out: the floor does its first and last part only.
"""

import argparse
import hashlib
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from turns import in_turns, ratio, report

from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.shards.schema import SplitRule

PATCH = 64
BYTES = 39_600_000  # of a shard of the sample
SHAPE = (150, 256, 256)  # slices, rows and columns of the sample
STRAIGHTFORWARD = "straightforward loop"
ALL_TRAIN = PrepareConfig(split_rule=SplitRule(val_fraction=0, test_fraction=0))


def straightforward(scan: Path, out: Path) -> None:
    import nibabel as nib
    import tensorflow as tf

    volume = nib.load(scan).get_fdata()
    sizes = nib.load(scan).header.get_zooms()
    volume = np.moveaxis(volume, int(np.argmax(sizes)), 0)
    volume = volume / volume.max()
    with tf.io.TFRecordWriter(str(out)) as writer:
        for index, high in enumerate(volume):
            rows, columns = high.shape
            spectrum = np.fft.fftshift(np.fft.fft2(high))
            mask = np.zeros_like(high)
            mask[
                rows // 2 - rows // 4 : rows // 2 + rows // 4,
                columns // 2 - columns // 4 : columns // 2 + columns // 4,
            ] = 1
            low = np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum * mask)))
            for row in [*range(0, rows - PATCH, PATCH), rows - PATCH]:
                for col in [*range(0, columns - PATCH, PATCH), columns - PATCH]:
                    patch = np.s_[row : row + PATCH, col : col + PATCH]
                    writer.write(_example(low[patch], high[patch], index, row, col))


def _example(low: np.ndarray, high: np.ndarray, index: int, row: int, col: int) -> bytes:
    import tensorflow as tf

    def pixels(values: np.ndarray) -> tf.train.Feature:
        codes = (values * 32768 + 8192).round().clip(0, 65535).astype(np.uint16)
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[codes.tobytes()]))

    def number(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    feature = {
        "lr": pixels(low),
        "hr": pixels(high),
        "slice": number(index),
        "row": number(row),
        "col": number(col),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def floor(scan: Path, out: Path, size: int) -> None:
    from isal import igzip

    igzip.decompress(scan.read_bytes())
    block = os.urandom(4 << 20)
    with out.open("wb") as file:
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def sample() -> list[Path]:
    """Three IXI T1 scans, downloaded once."""
    # Not imported above: every worker process imports this file's imports again.
    from data_prep.download import sample as download
    from data_prep.download.sdist import cache_folder

    return download.sample(cache_folder() / "sample")


def timed(action: Callable[[], object]) -> float:
    os.sync()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def to_disk(jobs: list[tuple[Path, Path, int]]) -> None:
    """Wait for the disk, as prepare does before it writes the manifest."""
    for _, path, _ in jobs:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def in_processes(
    function: Callable[..., None],
    jobs: list[tuple],
    workers: int,
    last: Callable[[], object] = lambda: None,
) -> float:
    """Seconds of a function on its jobs in as many processes, which are warm before the clock."""
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        list(pool.map(_slowly, [(function, jobs[0])] * workers))
        return timed(lambda: (list(pool.map(_apply, [(function, job) for job in jobs])), last()))


def _apply(call: tuple[Callable[..., None], tuple]) -> None:
    call[0](*call[1])


def _slowly(call: tuple[Callable[..., None], tuple]) -> None:
    """Slow enough that every process gets one."""
    _apply(call)
    time.sleep(1)


def parts(scan: Path, out: Path, size: int) -> dict[str, float]:
    """Milliseconds of what preparing a volume cannot do without, each the best of five."""
    import scipy.fft
    from isal import igzip

    packed = scan.read_bytes()
    slices = np.random.default_rng(0).random((SHAPE[0] // 2, 2, *SHAPE[1:]), np.float32)
    half = np.ones((2, SHAPE[1], SHAPE[2] // 2), np.complex64)
    whole = np.ones((2, *SHAPE[1:]), np.complex64)
    written = os.urandom(size)

    def transform() -> None:
        """The four transforms of each slice, without what lies between them."""
        for pair in slices:
            scipy.fft.rfft(pair)
            scipy.fft.fft(half, axis=-2, overwrite_x=True)
            scipy.fft.ifft(half, axis=-2, overwrite_x=True)
            scipy.fft.ifft(whole, overwrite_x=True)

    calls: dict[str, Callable[[], object]] = {
        "decompress": lambda: igzip.decompress(packed),
        "FFT": transform,
        "SHA-256 of scan and shard": lambda: [
            hashlib.sha256(x).digest() for x in (packed, written)
        ],
        "write": lambda: out.write_bytes(written),
    }
    seconds = in_turns(calls, 5)
    out.unlink()
    return {name: 1e3 * min(taken) for name, taken in seconds.items()}


def measure(scans: list[Path], folder: Path, workers: int, repeats: int) -> dict[str, list[float]]:
    results: dict[str, list[float]] = {}
    for repeat in range(repeats):
        for count in sorted({1, workers}):
            out = folder / f"out{repeat}-{count}"
            seconds = timed(lambda: prepare(scans, out, ALL_TRAIN, workers=count))  # noqa: B023
            results.setdefault(f"prepare, {count} workers", []).append(seconds)
            sizes = [path.stat().st_size for path in out.glob("*.tfrecord")]
            shutil.rmtree(out)
        jobs = [
            (scan, folder / f"written.{n}", size)
            for n, (scan, size) in enumerate(zip(scans, sizes, strict=True))
        ]
        seconds = timed(lambda: ([floor(*job) for job in jobs], to_disk(jobs)))  # noqa: B023
        results.setdefault("floor, 1 process", []).append(seconds)
        seconds = in_processes(floor, jobs, workers, lambda: to_disk(jobs))  # noqa: B023
        results.setdefault(f"floor, {workers} processes", []).append(seconds)
        few = [job[:2] for job in jobs[: max(2, len(scans) // 4)]]
        straightforward(*few[0])  # imports and warms up
        seconds = timed(lambda: [straightforward(*job) for job in few])  # noqa: B023
        results.setdefault(STRAIGHTFORWARD, []).append(seconds * len(scans) / len(few))
        seconds = in_processes(straightforward, few, workers) * len(scans) / len(few)
        results.setdefault(f"{STRAIGHTFORWARD}, {workers} processes", []).append(seconds)
        for _, path, _ in jobs:
            path.unlink()
    return results


def ratios(results: dict[str, list[float]], workers: int) -> dict[str, float]:
    ours = results[f"prepare, {workers} workers"]
    return {
        "vs_straightforward": ratio(results[STRAIGHTFORWARD], ours),
        "vs_straightforward_same_workers": ratio(
            results[f"{STRAIGHTFORWARD}, {workers} processes"], ours
        ),
        "time_vs_floor": ratio(ours, results["floor, 1 process"]),
        "time_vs_floor_same_workers": ratio(ours, results[f"floor, {workers} processes"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scans", nargs="*", type=Path, help="default: the sample, downloaded")
    parser.add_argument("--volumes", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--quick", action="store_true", help="few volumes, one repeat")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    volumes = arguments.volumes or (6 if arguments.quick else 24)
    repeats = arguments.repeats or (1 if arguments.quick else 5)
    scans = arguments.scans or sample()
    data = "IXI T1 sample" if not arguments.scans else ", ".join(scan.name for scan in scans)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copies = []
        for number in range(volumes):
            scan = scans[number % len(scans)]
            copies.append(Path(shutil.copy(scan, folder / f"copy{number:03}.nii.gz")))
        results = measure(copies, folder, arguments.workers, repeats)
        needed = parts(copies[0], folder / "written", BYTES)
    speeds = {f"volumes/s, {way}": volumes / median(taken) for way, taken in results.items()}
    report(
        ratios(results, arguments.workers),
        {**speeds, "parts, ms a volume": needed},
        f"{volumes} copies of: {data}",
        arguments.json,
    )


if __name__ == "__main__":
    main()
