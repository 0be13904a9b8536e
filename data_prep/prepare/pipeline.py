"""The way from scans to a folder of shards: plan, executor, shards, manifest.

A run can be killed at any moment: shards appear one by one, each whole, and the next run with the
same parameters makes the missing ones. The manifest comes last, so a folder that has one is
complete.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from data_prep.errors import BadInputError, EnvironmentFault, raise_together
from data_prep.files import lock, refuse_foreign, sync_to_disk
from data_prep.prepare import resume
from data_prep.prepare.convert import Job, convert
from data_prep.prepare.copies import check_copies
from data_prep.prepare.plan import Plan, make_plan
from data_prep.scans import sources
from data_prep.scans.choosing import BEYOND, LeftOut, printable
from data_prep.scans.coverage import WHOLE
from data_prep.shards.patches import origins
from data_prep.shards.schema import MANIFEST_NAME, Manifest, Parameters, Shard, SplitRule

_SAFE_PATH = "PYTHONSAFEPATH"
SOFTWARE = "data_prep 2"  # raised whenever the same scans would give other bytes

Progress = Callable[[int, int, str], None]
Warn = Callable[[str], None]
Outcome = Shard | BadInputError


class PrepareConfig(BaseModel):
    """What to prepare, and how.

    Args:
        parameters: Degradation, patches, plane.
        split_rule: How subjects are dealt to the splits.
        split_table: A TSV file that decides instead.
        modality: Keep only scans of this contrast.
        all_contrasts: Keep scans of several contrasts together, instead of refusing them.
        site: Keep only scans of this IXI site.
        subject_pattern: Regular expression that reads subject and session from file names.
        allow_missing: Leave out scans whose content is not here, instead of refusing them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: Parameters = Parameters()
    split_rule: SplitRule = SplitRule()
    split_table: Path | None = None
    modality: str = ""
    all_contrasts: bool = False
    site: str = ""
    subject_pattern: str = ""
    allow_missing: bool = False

    @model_validator(mode="after")
    def _is_possible(self) -> "PrepareConfig":
        if self.modality and self.all_contrasts:
            raise ValueError("--modality chooses one contrast, --all-contrasts mixes them")
        return self


def prepare(
    paths: Sequence[Path],
    out: Path,
    config: PrepareConfig,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> Manifest:
    """Turn scans into a folder of shards; a run that was interrupted is continued.

    Args:
        paths: Files, folders or patterns.
        out: The folder to make; it may hold an interrupted run with the same parameters.
        config: What to prepare, and how. The bytes depend on this and the scans alone.
        workers: Number of processes.
        executor: Runs the work instead of local processes, for instance a Dask cluster's.
        progress: Called with (finished, total, scan name) after each scan.
        warn: Called with what a person should know of the scans.

    Raises:
        BadInputError: A scan is missing, malformed or unsuitable; all such scans are named.
        ConfigError: The folder holds something else, or was made with other parameters.
        EnvironmentFault: The disk is full, or a worker process died.
    """
    refuse_output(out)
    return carry_out(
        plan_for(paths, config, warn),
        out,
        workers=workers,
        executor=executor,
        progress=progress,
        warn=warn,
    )


def refuse_output(out: Path) -> None:
    """Refuse an output folder that holds something else than shards.

    Raises:
        ConfigError: It does.
    """
    refuse_foreign(out, "a folder of shards", MANIFEST_NAME, resume.PROGRESS)


def carry_out(
    plan: Plan,
    out: Path,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    warn: Warn | None = None,
) -> Manifest:
    """Make the shards of a plan; arguments and errors are those of `prepare`."""
    out = Path(out).absolute()
    existed = out.exists()
    with lock(out):
        try:
            manifest = resume.already_complete(plan, out) or _make(
                plan, out, workers, executor, progress, warn
            )
        finally:
            resume.tidy(out, existed)
    if warn and (text := _interpolated(manifest)):
        warn(text)
    return manifest


def _interpolated(manifest: Manifest) -> str:
    """Which scans a scanner has interpolated, if that was left as it is; empty if none."""
    scans = {(shard.source, shard.source_sha256): shard.filled for shard in manifest.shards}
    partly = {scan: part for scan, part in scans.items() if part and min(part) < WHOLE}
    if manifest.parameters.matrix == "acquired" or not partly:
        return ""
    (name, _), (rows, columns) = min(partly.items(), key=lambda entry: min(entry[1]))
    return (
        f"{len(partly)} of {len(scans)} scans were interpolated by the scanner, {name} the most: "
        f"its k-space is filled to {rows:.2f} of Nyquist along rows, {columns:.2f} along columns. "
        "Detail beyond that is no truth to learn from: `inspect` lists the scans, --matrix "
        "acquired crops it away"
    )


def plan_for(paths: Sequence[Path], config: PrepareConfig, warn: Warn | None = None) -> Plan:
    """Find the scans, check their headers, and decide what becomes of each.

    Args:
        paths: As `prepare` takes them.
        config: The same.
        warn: Called with what a person should know of the scans.

    Raises:
        BadInputError: A scan is missing or its header is unsuitable, or copies of one are in two
            splits; all such scans are named.
    """
    rule = config.split_rule
    if config.split_table is not None:
        rule = rule.model_copy(update={"file": config.split_table.name})
    found = sources.find(
        paths,
        modality=config.modality,
        all_contrasts=config.all_contrasts,
        site=config.site,
        pattern=config.subject_pattern,
        allow_missing=config.allow_missing,
    )
    _tell(found.warnings, warn)
    parameters = config.parameters
    layouts, faults = {}, []
    for scan in found.scans:
        try:
            layouts[scan] = sources.slice_layout(
                scan.path, parameters.plane, parameters.fastmri, warn, parameters.volume
            )
        except BadInputError as error:
            faults.append(error)
    raise_together(faults)
    plan = make_plan(layouts, parameters, rule, software=SOFTWARE, table=config.split_table)
    training = {item.scan.path for item in plan.items if item.split == "train"}
    for scan, layout in layouts.items():
        if scan.path.absolute() in training:
            try:
                origins(layout.shape[1:], parameters.patch_size)
            except BadInputError as error:
                faults.append(BadInputError(error.fault, path=scan.path, remedy=error.remedy))
    raise_together(faults)
    _tell(check_copies(plan), warn)
    used = {item.scan.path for item in plan.items}
    beyond = [LeftOut(s.path, BEYOND) for s in layouts if s.path.absolute() not in used]
    left_out = tuple(
        LeftOut(Path(printable(path)), reason) for path, reason in (*found.left_out, *beyond)
    )
    return plan.model_copy(update={"left_out": left_out})


def _tell(warnings: Iterable[str], warn: Warn | None) -> None:
    if warn:
        for text in warnings:
            warn(text)


def _make(
    plan: Plan,
    out: Path,
    workers: int,
    executor: Executor | None,
    progress: Progress | None,
    warn: Warn | None,
) -> Manifest:
    """Make the shards that are missing, note each, and write the manifest."""
    done = resume.start_or_resume(plan, out)
    jobs = [
        Job(item=item, parameters=plan.parameters, folder=out)
        for item in plan.items
        if item.file not in done
    ]
    faults = []
    with (
        _beside() as disk,
        contextlib.closing(_outcomes(jobs, workers, executor, warn)) as outcomes,
    ):
        written = []
        for job, outcome in outcomes:
            if isinstance(outcome, BadInputError):
                faults.append(outcome)
                continue
            resume.note(out, outcome, job.item)
            # The disk is slow and needs no processor: it writes while the next scans are read.
            written.append(disk.submit(sync_to_disk, out, [outcome.file]))
            done[outcome.file] = outcome
            if progress:
                progress(len(done), len(plan.items), job.item.scan.path.name)
        raise_together(faults)
        for future in written:
            future.result()
    return resume.finish(plan, out, done)


@contextlib.contextmanager
def _beside() -> Generator[ThreadPoolExecutor, None, None]:
    """A thread for what waits rather than computes; what it has not begun is dropped at the end."""
    thread = ThreadPoolExecutor(1)
    try:
        yield thread
    finally:
        thread.shutdown(wait=True, cancel_futures=True)


def _outcomes(
    jobs: list[Job], workers: int, executor: Executor | None, warn: Warn | None
) -> Generator[tuple[Job, Outcome], None, None]:
    """Do the jobs and yield each as it is finished, in no particular order."""
    workers = min(workers, len(jobs))
    pool = _pool(workers) if executor is None and workers > 1 else None
    if warn and pool is None and executor is None and workers > 1:
        warn("processes cannot share semaphores (is /dev/shm writable?), so one does all the work")
    if executor is not None:
        with _dead_workers():
            yield from _finished({executor.submit(attempt, job): job for job in jobs})
    elif pool is None:
        for job in jobs:
            yield job, attempt(job)
    else:
        try:
            with _dead_workers():
                yield from _in_processes(pool, jobs, workers)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _dead_workers() -> Generator[None, None, None]:
    """Say what it means that an executor is broken."""
    try:
        yield
    except (BrokenExecutor, EOFError, ConnectionError):
        raise EnvironmentFault(
            "a worker process died, perhaps for want of memory or threads",
            remedy="Run the same command again with fewer --workers; what is finished is kept",
        ) from None


def _in_processes(
    pool: Executor, jobs: list[Job], workers: int
) -> Generator[tuple[Job, Outcome], None, None]:
    """Do the jobs in other processes, and until these have started, in this one.

    A process takes longer to start than a scan to convert. One job for each is left to them.
    """
    waiting = deque(jobs)
    with _beside() as thread:
        starting = thread.submit(_start, pool, waiting)
        try:
            while len(waiting) > workers and not starting.done():
                job = waiting.pop()
                yield job, attempt(job)
        except BaseException:  # an interruption: the other thread is to submit no more
            waiting.clear()
            raise
        futures = starting.result()
    yield from _finished(futures)


def _start(pool: Executor, waiting: deque[Job]) -> dict[Future, Job]:
    """Wait until a process has started, and give the pool every job that still waits."""
    # Processes inherit this: Ctrl-C is for the parent, also while they are starting.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    with _modules_of_the_working_folder_hidden():
        pool.submit(os.getpid).result()
    futures = {}
    while waiting:
        with contextlib.suppress(IndexError):  # this process has just taken the last one
            job = waiting.popleft()
            futures[pool.submit(attempt, job)] = job
    return futures


def _finished(futures: Mapping[Future, Job]) -> Generator[tuple[Job, Outcome], None, None]:
    """Each job as its future is done; what has not begun is dropped at the end."""
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        for future in futures:
            future.cancel()


def attempt(job: Job) -> Outcome:
    """Convert a scan; a bad one is a result, so that the others are still looked at."""
    try:
        return convert(job)
    except BadInputError as error:
        return error


def _pool(workers: int) -> ProcessPoolExecutor | None:
    """Local processes that do not inherit threads, and end with the one that started them.

    Returns:
        None where the system has no semaphores to share, which Linux keeps in /dev/shm.
    """
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        preload = ["data_prep.prepare.pipeline", "scipy.fft", "scipy.ndimage"]
        context.set_forkserver_preload(preload)
    try:
        return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    except (OSError, NotImplementedError, ImportError):
        return None


@contextlib.contextmanager
def _modules_of_the_working_folder_hidden() -> Generator[None, None, None]:
    """Python programs started in this import no numpy.py that lies in the working folder."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers to stop, so they watch it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
