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
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from data_prep import resume, sources
from data_prep.atomic import lock, refuse_foreign
from data_prep.convert import Job, convert
from data_prep.errors import BadInputError, EnvironmentFault, raise_together
from data_prep.patches import origins
from data_prep.plan import Plan, make_plan
from data_prep.schema import MANIFEST_NAME, Manifest, Parameters, Shard, SplitRule

SOFTWARE = "data_prep 2"  # raised whenever the same scans would give other bytes

Progress = Callable[[int, int, str], None]
Outcome = Shard | BadInputError


class PrepareConfig(BaseModel):
    """What to prepare, and how.

    Args:
        parameters: Degradation, patches, plane.
        split_rule: How subjects are dealt to the splits.
        split_table: A TSV file that decides instead.
        modality: Keep only scans of this modality.
        site: Keep only scans of this IXI site.
        subject_pattern: Regular expression that reads subject and session from file names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parameters: Parameters = Parameters()
    split_rule: SplitRule = SplitRule()
    split_table: Path | None = None
    modality: str = ""
    site: str = ""
    subject_pattern: str = ""


def prepare(
    paths: Sequence[Path],
    out: Path,
    config: PrepareConfig,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Turn scans into a folder of shards; a run that was interrupted is continued.

    Args:
        paths: Files, folders or patterns.
        out: The folder to make; it may hold an interrupted run with the same parameters.
        config: What to prepare, and how. The bytes depend on this and the scans alone.
        workers: Number of processes.
        executor: Runs the work instead of local processes, for instance a Dask cluster's.
        progress: Called with (finished, total, scan name) after each scan.

    Raises:
        BadInputError: A scan is missing, malformed or unsuitable; all such scans are named.
        ConfigError: The folder holds something else, or was made with other parameters.
        EnvironmentFault: The disk is full, or a worker process died.
    """
    out = Path(out).absolute()
    refuse_foreign(out, "a folder of shards", MANIFEST_NAME, resume.PROGRESS)
    plan = plan_for(paths, config)
    existed = out.exists()
    with lock(out):
        try:
            return resume.already_complete(plan, out) or _make(
                plan, out, workers, executor, progress
            )
        finally:
            resume.tidy(out, existed)


def plan_for(paths: Sequence[Path], config: PrepareConfig) -> Plan:
    """Find the scans, check their headers, and decide what becomes of each.

    Raises:
        BadInputError: A scan is missing or its header is unsuitable; all such scans are named.
    """
    rule = config.split_rule
    if config.split_table is not None:
        rule = rule.model_copy(update={"file": config.split_table.name})
    scans = sources.find(
        paths, modality=config.modality, site=config.site, pattern=config.subject_pattern
    )
    parameters = config.parameters
    layouts, faults = {}, []
    for scan in scans:
        try:
            layouts[scan] = sources.slice_layout(scan.path, parameters.plane, parameters.fastmri)
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
    return plan


def _make(
    plan: Plan, out: Path, workers: int, executor: Executor | None, progress: Progress | None
) -> Manifest:
    """Make the shards that are missing, note each, and write the manifest."""
    done = resume.start_or_resume(plan, out)
    jobs = [
        Job(item=item, parameters=plan.parameters, folder=out)
        for item in plan.items
        if item.file not in done
    ]
    faults = []
    with contextlib.closing(_outcomes(jobs, workers, executor)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, BadInputError):
                faults.append(outcome)
                continue
            resume.note(out, outcome, job.item)
            done[outcome.file] = outcome
            if progress:
                progress(len(done), len(plan.items), job.item.scan.path.name)
    raise_together(faults)
    return resume.finish(plan, out, done)


def _outcomes(
    jobs: list[Job], workers: int, executor: Executor | None
) -> Generator[tuple[Job, Outcome], None, None]:
    """Do the jobs and yield each as it is finished, in no particular order."""
    workers = min(workers, len(jobs))
    if executor is not None:
        yield from _through(executor, jobs)
    elif workers <= 1:
        for job in jobs:
            yield job, attempt(job)
    else:
        pool = _pool(workers)
        try:
            yield from _through(pool, jobs)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _through(executor: Executor, jobs: list[Job]) -> Generator[tuple[Job, Outcome], None, None]:
    futures = {executor.submit(attempt, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenExecutor:
        raise EnvironmentFault(
            "a worker process died, perhaps for want of memory",
            remedy="Run the same command again with fewer --workers; what is finished is kept",
        ) from None
    finally:
        for future in futures:
            future.cancel()


def attempt(job: Job) -> Outcome:
    """Convert a scan; a bad one is a result, so that the others are still looked at."""
    try:
        return convert(job)
    except BadInputError as error:
        return error


def _pool(workers: int) -> ProcessPoolExecutor:
    """Local processes that do not inherit threads, and end with the one that started them."""
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["data_prep.pipeline", "scipy.fft"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers to stop, so they watch it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
