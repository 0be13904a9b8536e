import filecmp
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import BadInputError, ConfigError, CorruptArtefactError, EnvironmentFault
from data_prep.files import LOCK, lock
from data_prep.kspace import Degradation
from data_prep.prepare import pipeline
from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.shards.files import records, verify
from data_prep.shards.schema import Parameters, SplitRule, read_manifest
from tests.data_prep.phantoms import OF_A_DEAD_PROCESS, phantom, save
from tests.data_prep.scans.test_coverage import SIDE, C, R, scan

SMALL = Parameters(patch_size=10)
CONFIG = PrepareConfig(parameters=SMALL)


@pytest.fixture
def scans(tmp_path):
    """Four subjects, one of them scanned twice."""
    folder = tmp_path / "scans"
    for seed, name in enumerate(("a_visit1", "a_visit2", "b", "c", "d")):
        save(folder / f"{name}.nii.gz", phantom((24, 20, 12), seed))
    return folder


def digests(folder) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != LOCK
    }


def everything(folder) -> dict[Path, int]:
    """All that lies in a folder, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != LOCK}


def test_a_folder_of_scans_becomes_a_folder_of_shards(scans, tmp_path):
    calls = []
    manifest = prepare([scans], tmp_path / "out", CONFIG, progress=lambda *call: calls.append(call))
    assert verify(tmp_path / "out") == manifest
    assert [len(manifest.subjects(split)) for split in ("train", "val", "test")] == [2, 1, 1]
    assert [call[:2] for call in calls] == [(n, 5) for n in range(1, 6)]
    assert {shard.source for shard in manifest.shards} == {p.name for p in scans.iterdir()}
    for shard in manifest.shards:
        assert shard.kind == ("patches" if shard.split == "train" else "slices")
        assert shard.records == (72 if shard.split == "train" else 12)
        source = (scans / shard.source).read_bytes()
        assert shard.source_sha256 == hashlib.sha256(source).hexdigest()
        assert shard.scale == 1000
    table = (tmp_path / "out" / "split.tsv").read_text().splitlines()
    assert len(table) == 5
    assert set(digests(tmp_path / "out")) == {
        "manifest.json",
        "split.tsv",
        *(shard.file for shard in manifest.shards),
    }


def test_a_subject_with_two_sessions_never_crosses(scans, tmp_path):
    for seed in range(6):
        config = PrepareConfig(parameters=SMALL, split_rule=SplitRule(seed=seed))
        manifest = prepare([scans], tmp_path / f"out{seed}", config)
        splits = {shard.subject: set() for shard in manifest.shards}
        for shard in manifest.shards:
            splits[shard.subject].add(shard.split)
        assert len(splits) == 4
        assert all(len(found) == 1 for found in splits.values())


def test_the_number_of_workers_changes_no_byte(scans, tmp_path):
    for workers in (1, 2, 4):
        prepare([scans], tmp_path / f"out{workers}", CONFIG, workers=workers)
    assert digests(tmp_path / "out1") == digests(tmp_path / "out2") == digests(tmp_path / "out4")


def test_nothing_in_a_folder_tells_when_or_where_it_was_made(scans, tmp_path):
    prepare([scans], tmp_path / "out", CONFIG)
    text = (tmp_path / "out" / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert time.strftime("%Y-") not in text


def test_the_same_command_again_does_nothing(scans, tmp_path):
    first = prepare([scans], tmp_path / "out", CONFIG)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    calls = []
    assert prepare([scans], tmp_path / "out", CONFIG, progress=calls.append) == first
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert calls == []


def test_changed_parameters_are_refused_and_the_difference_printed(scans, tmp_path):
    prepare([scans], tmp_path / "out", CONFIG)
    before = digests(tmp_path / "out")
    other = PrepareConfig(
        parameters=Parameters(patch_size=12, degradation=Degradation(keep_by="axis")),
        split_rule=SplitRule(seed=3),
    )
    with pytest.raises(ConfigError) as caught:
        prepare([scans], tmp_path / "out", other)
    message = str(caught.value)
    assert "patch_size: 10 there, 12 asked for" in message
    assert "keep_by: area there, axis asked for" in message
    assert "split.seed: 0 there, 3 asked for" in message
    assert "keep:" not in message
    assert digests(tmp_path / "out") == before


def test_other_scans_are_refused_and_named(scans, tmp_path):
    prepare([scans], tmp_path / "out", CONFIG)
    save(scans / "e.nii.gz", phantom(seed=9))
    with pytest.raises(ConfigError, match=r"\+ e.nii.gz as e.tfrecord: subject e"):
        prepare([scans], tmp_path / "out", CONFIG)


def test_scans_whose_contrast_is_known_by_now_are_refused(tmp_path):
    for number in range(3):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom(seed=number))
    prepare([tmp_path / "scans"], tmp_path / "out", CONFIG)
    for number in range(3):
        t2 = {"EchoTime": 0.1, "RepetitionTime": 5.0}
        (tmp_path / "scans" / f"s{number}.json").write_text(json.dumps(t2))
    with pytest.raises(ConfigError, match=r"- s0.*unknown contrast(.*\n)*.*\+ s0.* s0, T2"):
        prepare([tmp_path / "scans"], tmp_path / "out", CONFIG)


def test_a_scan_that_changed_is_refused(scans, tmp_path):
    prepare([scans], tmp_path / "out", CONFIG)
    save(scans / "b.nii.gz", phantom(seed=77))
    with pytest.raises(ConfigError, match=r"b.nii.gz: its content has changed"):
        prepare([scans], tmp_path / "out", CONFIG)


def test_a_complete_folder_that_lost_a_shard_is_named(scans, tmp_path):
    manifest = prepare([scans], tmp_path / "out", CONFIG)
    (tmp_path / "out" / manifest.shards[0].file).unlink()
    with pytest.raises(CorruptArtefactError, match="is missing or was changed"):
        prepare([scans], tmp_path / "out", CONFIG)


@pytest.mark.parametrize("content", ["file", "folder", "is a file"])
def test_a_folder_that_holds_something_else_is_refused(scans, tmp_path, content):
    out = tmp_path / "out"
    if content == "is a file":
        out.write_text("hello")
    else:
        out.mkdir()
        (out / "thesis").mkdir() if content == "folder" else (out / "thesis.tex").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"such as thesis|is a file"):
        prepare([scans], out, CONFIG)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_is_used(scans, tmp_path):
    (tmp_path / "out").mkdir()
    prepare([scans], tmp_path / "out", CONFIG)
    verify(tmp_path / "out")


def test_a_second_run_into_the_same_folder_is_refused(scans, tmp_path):
    with lock(tmp_path / "out"), pytest.raises(BadInputError, match="in use by another process"):
        prepare([scans], tmp_path / "out", CONFIG)


def test_all_bad_headers_are_named_before_anything_is_written(scans, tmp_path):
    save(scans / "series.nii.gz", np.ones((5, 5, 5, 3), np.float32))
    (scans / "text.nii.gz").write_text("text")
    with pytest.raises(BadInputError) as caught:
        prepare([scans], tmp_path / "out", CONFIG)
    message = str(caught.value)
    assert "2 scans cannot be used" in message
    assert "series.nii.gz: is a series of volumes" in message
    assert "text.nii.gz: is not a NIfTI file" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_all_bad_voxels_are_named_and_there_is_no_manifest(scans, tmp_path, workers):
    save(scans / "nan.nii.gz", np.full((24, 20, 12), np.nan, np.float32))
    save(scans / "flat.nii.gz", np.ones((24, 20, 12), np.float32))
    with pytest.raises(BadInputError) as caught:
        prepare([scans], tmp_path / "out", CONFIG, workers=workers)
    message = str(caught.value)
    assert "nan.nii.gz: has 5760 voxels that are NaN" in message
    assert "flat.nii.gz: is constant" in message
    assert not (tmp_path / "out" / "manifest.json").exists()
    for name in ("nan", "flat"):
        (scans / f"{name}.nii.gz").unlink()
    prepare([scans], tmp_path / "out", CONFIG)
    prepare([scans], tmp_path / "fresh", CONFIG)
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


def test_one_bad_scan_leaves_nothing_behind(tmp_path):
    path = save(tmp_path / "a.nii.gz", np.ones((24, 20, 12), np.float32))
    with pytest.raises(BadInputError, match="is constant"):
        prepare([path], tmp_path / "out", CONFIG)
    assert sorted(tmp_path.iterdir()) == [path]


def test_scans_smaller_than_a_patch_are_named_before_anything_is_written(scans, tmp_path):
    for name in ("small1", "small2"):
        save(scans / f"{name}.nii.gz", phantom((8, 8, 8)))
    train_on_all = SplitRule(val_fraction=0, test_fraction=0)
    config = PrepareConfig(parameters=SMALL, split_rule=train_on_all)
    with pytest.raises(BadInputError) as caught:
        prepare([scans], tmp_path / "out", config)
    message = str(caught.value)
    for name in ("small1", "small2"):
        assert f"{name}.nii.gz: a slice of 8 x 8 pixels is smaller than one patch" in message
    assert not (tmp_path / "out").exists()
    config = PrepareConfig(parameters=SMALL, split_rule=SplitRule(val_fraction=0, test_fraction=1))
    verify_all_tested = prepare([scans], tmp_path / "out", config)  # whole slices may be small
    assert len(verify_all_tested.of("test")) == 7


def interrupted(scans, out, monkeypatch, after):
    """A run that ends after some scans, as a killed one would."""
    real = pipeline.attempt
    seen = []

    def stop(job):
        if len(seen) == after:
            raise KeyboardInterrupt
        seen.append(job.item.file)
        return real(job)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "attempt", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare([scans], out, CONFIG)
    return seen


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_interrupted_run_is_continued(scans, tmp_path, monkeypatch, after):
    out = tmp_path / "out"
    finished = interrupted(scans, out, monkeypatch, after)
    assert not (out / "manifest.json").exists()
    (out / f"{OF_A_DEAD_PROCESS}left-behind").parent.mkdir(exist_ok=True)
    stamps = {name: (out / name).stat().st_mtime_ns for name in finished}
    prepare([scans], out, CONFIG)
    assert stamps == {name: (out / name).stat().st_mtime_ns for name in finished}
    prepare([scans], tmp_path / "fresh", CONFIG)
    assert digests(out) == digests(tmp_path / "fresh")


def test_leftovers_of_a_killed_run_are_removed(scans, tmp_path, monkeypatch):
    out = tmp_path / "out"
    interrupted(scans, out, monkeypatch, 2)
    (out / f"{OF_A_DEAD_PROCESS}abc-d.tfrecord").write_bytes(b"half")
    (out / "stale.tfrecord").write_bytes(b"half")
    prepare([scans], out, CONFIG)
    verify(out)
    assert not list(out.glob(".srmri-tf-tmp-*"))
    assert not (out / ".progress").exists()


def test_an_interrupted_run_refuses_other_parameters(scans, tmp_path, monkeypatch):
    interrupted(scans, tmp_path / "out", monkeypatch, 2)
    with pytest.raises(ConfigError, match="patch_size: 10 there, 12 asked for"):
        prepare([scans], tmp_path / "out", PrepareConfig(parameters=Parameters(patch_size=12)))
    prepare([scans], tmp_path / "out", CONFIG)


def test_an_interrupted_run_refuses_scans_of_which_it_has_none(scans, tmp_path, monkeypatch):
    out = tmp_path / "out"
    interrupted(scans, out, monkeypatch, 2)
    before = everything(out)
    other = tmp_path / "other"
    save(other / "b.nii.gz", phantom(seed=9))
    with pytest.raises(ConfigError) as caught:
        prepare([other], out, CONFIG)
    first = scans / "a_visit1.nii.gz"
    line = f"scans: {first} and 4 more there, {other / 'b.nii.gz'} asked for"
    assert line in str(caught.value)
    assert everything(out) == before
    prepare([other, scans / "b.nii.gz"], out, CONFIG)
    assert len(verify(out).shards) == 2


def test_another_spelling_of_a_folder_is_the_same_scans(scans, tmp_path, monkeypatch):
    out = tmp_path / "out"
    finished = interrupted(scans, out, monkeypatch, 2)
    stamps = {name: (out / name).stat().st_mtime_ns for name in finished}
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "deep")
    finished += interrupted(Path("../scans"), out, monkeypatch, 1)
    prepare([tmp_path / "link" / "scans"], out, CONFIG)
    assert stamps == {name: (out / name).stat().st_mtime_ns for name in stamps}
    assert len(set(finished)) == 3
    prepare([scans], tmp_path / "fresh", CONFIG)
    assert digests(out) == digests(tmp_path / "fresh")


def test_a_scan_that_changed_meanwhile_is_done_again(scans, tmp_path, monkeypatch):
    out = tmp_path / "out"
    (first, *_) = interrupted(scans, out, monkeypatch, 1)
    save(scans / "a_visit1.nii.gz", phantom(seed=55))
    assert first == "a_visit1.tfrecord"
    prepare([scans], out, CONFIG)
    prepare([scans], tmp_path / "fresh", CONFIG)
    assert digests(out) == digests(tmp_path / "fresh")


COMMAND = """
import sys
from pathlib import Path
from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.shards.schema import Parameters
if __name__ == "__main__":
    scans, out = map(Path, sys.argv[1:3])
    config = PrepareConfig(parameters=Parameters(patch_size=10))
    prepare([scans], out, config, workers=int(sys.argv[3]))
"""


def kill_and_finish(scans, tmp_path, kills, workers):
    """Kill a run at random moments, again and again, then let it end."""
    script = tmp_path / "run.py"
    script.write_text(COMMAND)
    out = tmp_path / "out"
    command = [sys.executable, str(script), str(scans), str(out), str(workers)]
    rng = np.random.default_rng(5)
    started = time.perf_counter()
    prepare([scans], tmp_path / "fresh", CONFIG)
    subprocess.run([*command[:3], str(tmp_path / "timed"), str(workers)], check=True)
    length = time.perf_counter() - started
    for _ in range(kills):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.2, 1.0) * length)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (out / "manifest.json").exists():
            verify(out)
            shutil.rmtree(out)  # killed just then, it still has the notes of the run
    subprocess.run(command, check=True)
    assert digests(out) == digests(tmp_path / "fresh")
    return command


def test_killed_twice_it_still_ends_with_the_same_bytes(scans, tmp_path):
    kill_and_finish(scans, tmp_path, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_twenty_times_it_still_ends_with_the_same_bytes(tmp_path, workers):
    for number in range(12):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom((96, 80, 40), number))
    kill_and_finish(tmp_path / "scans", tmp_path, 20, workers)


def test_workers_end_with_the_process_that_started_them(tmp_path):
    for number in range(6):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom((128, 128, 60), number))
    script = tmp_path / "run.py"
    script.write_text(COMMAND)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "scans"), str(tmp_path / "out"), "2"],
        start_new_session=True,
    )
    notes = tmp_path / "out" / ".progress"
    while not list(notes.glob("*.tfrecord.json")):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while session_alive(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def session_alive(session: int) -> bool:
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    return True


class Broken:
    """An executor whose workers die."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_exception(BrokenExecutor("died"))
        return future


def test_a_dead_worker_is_an_environment_fault(scans, tmp_path):
    with pytest.raises(EnvironmentFault, match="a worker process died"):
        prepare([scans], tmp_path / "out", CONFIG, executor=Broken())
    assert not (tmp_path / "out").exists()


def test_dead_workers_of_its_own_are_an_environment_fault(scans, tmp_path, monkeypatch):
    class BrokenPool(Broken):
        def shutdown(self, **options):
            pass

    monkeypatch.setattr(pipeline, "_pool", lambda workers: BrokenPool())
    with pytest.raises(EnvironmentFault, match="a worker process died"):
        prepare([scans], tmp_path / "out", CONFIG, workers=2)


def test_scans_are_converted_while_processes_start(tmp_path, monkeypatch):
    for number in range(6):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom((24, 20, 12), number))
    begun, here, threads = threading.Event(), threading.get_ident(), []
    convert = pipeline.attempt

    class SlowPool(ThreadPoolExecutor):
        def submit(self, *call):
            begun.wait(timeout=20)
            return super().submit(*call)

    def noted(job):
        threads.append(threading.get_ident() == here)
        if len(threads) == 3:
            begun.set()
            time.sleep(0.2)  # the pool takes the rest meanwhile
        return convert(job)

    monkeypatch.setattr(pipeline, "_pool", SlowPool)
    monkeypatch.setattr(pipeline, "attempt", noted)
    prepare([tmp_path / "scans"], tmp_path / "out", CONFIG, workers=2)
    assert threads[:3] == [True] * 3
    assert threads[3:] == [False] * 3
    monkeypatch.undo()
    prepare([tmp_path / "scans"], tmp_path / "fresh", CONFIG)
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


def test_a_scan_is_left_to_every_process(scans, tmp_path, monkeypatch):
    done = []

    class Pool(ThreadPoolExecutor):
        def submit(self, function, *arguments):
            if function is os.getpid:
                time.sleep(0.5)  # long enough to convert every scan
            else:
                done.append(arguments[0].item.scan.subject)
            return super().submit(function, *arguments)

    monkeypatch.setattr(pipeline, "_pool", Pool)
    prepare([scans], tmp_path / "out", CONFIG, workers=2)
    assert done == ["a", "a"]


def test_no_manifest_is_written_where_a_shard_cannot_reach_the_disk(scans, tmp_path, monkeypatch):
    def fail(folder, names):
        raise EnvironmentFault("cannot be written", path=folder, remedy="Free some space")

    monkeypatch.setattr(pipeline, "sync_to_disk", fail)
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        prepare([scans], tmp_path / "out", CONFIG)
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.undo()
    prepare([scans], tmp_path / "out", CONFIG)


def test_any_executor_will_do(scans, tmp_path):
    with ThreadPoolExecutor(3) as executor:
        prepare([scans], tmp_path / "threads", CONFIG, executor=executor)
    prepare([scans], tmp_path / "out", CONFIG)
    assert digests(tmp_path / "threads") == digests(tmp_path / "out")


def test_a_table_decides(scans, tmp_path):
    table = tmp_path / "mine.tsv"
    table.write_text("subject\tsplit\na\ttest\nb\ttrain\nc\ttrain\nd\tval\nz\ttest\n")
    config = PrepareConfig(parameters=SMALL, split_table=table)
    manifest = prepare([scans], tmp_path / "out", config)
    assert manifest.subjects("test") == ["a"]
    assert len(manifest.of("test")) == 2
    assert manifest.split_rule.file == "mine.tsv"
    published = tmp_path / "out" / "split.tsv"
    again = PrepareConfig(parameters=SMALL, split_table=published)
    prepare([scans], tmp_path / "again", again)
    assert filecmp.cmp(published, tmp_path / "again" / "split.tsv", shallow=False)


def test_with_folds_everybody_is_stored_as_patches(scans, tmp_path):
    config = PrepareConfig(parameters=SMALL, split_rule=SplitRule(folds=2))
    manifest = prepare([scans], tmp_path / "out", config)
    assert {shard.kind for shard in manifest.shards} == {"patches"}
    folds = {shard.subject: shard.fold for shard in manifest.shards}
    assert sorted(folds.values()) == [0, 0, 1, 1]
    assert manifest.split_rule.folds == 2
    assert "subject\tsplit\tfold" in (tmp_path / "out" / "split.tsv").read_text()
    for shard in manifest.shards:
        assert {r.slice for r in records(tmp_path / "out" / shard.file)} == set(range(12))


def test_folds_can_come_from_a_table(scans, tmp_path):
    table = tmp_path / "folds.tsv"
    table.write_text("subject\tsplit\tfold\na\ttrain\t0\nb\ttrain\t1\nc\ttrain\t2\nd\ttest\t\n")
    manifest = prepare(
        [scans], tmp_path / "out", PrepareConfig(parameters=SMALL, split_table=table)
    )
    assert manifest.split_rule.folds == 3
    assert [shard.fold for shard in manifest.shards] == [0, 0, 1, 2, None]


def test_folds_and_left_out_patches_do_not_go_together(scans, tmp_path):
    config = PrepareConfig(
        parameters=Parameters(patch_size=10, min_signal=0.1), split_rule=SplitRule(folds=2)
    )
    with pytest.raises(ConfigError, match="min_signal would leave holes"):
        prepare([scans], tmp_path / "out", config)


def test_at_most_so_many_slices_of_each_training_scan(scans, tmp_path):
    config = PrepareConfig(parameters=SMALL.model_copy(update={"max_slices": 3}))
    manifest = prepare([scans], tmp_path / "out", config)
    assert verify(tmp_path / "out") == manifest
    for shard in manifest.shards:
        found = {record.slice for record in records(tmp_path / "out" / shard.file)}
        assert found == ({2, 6, 10} if shard.split == "train" else set(range(12)))
        assert shard.slices == len(found)
    whole = prepare([scans], tmp_path / "whole", CONFIG)
    for few, all_of_them in zip(manifest.shards, whole.shards, strict=True):
        assert few.scale == all_of_them.scale  # of the whole volume
    rule = SplitRule(folds=2)
    folds = prepare([scans], tmp_path / "folds", config.model_copy(update={"split_rule": rule}))
    assert {shard.slices for shard in folds.shards} == {3}
    dealt = config.model_copy(update={"split_rule": SplitRule(by="slice")})
    with pytest.raises(ConfigError, match="--slice-wise deals their slices one by one"):
        prepare([scans], tmp_path / "dealt", dealt)


def test_the_slice_wise_split_of_the_paper(scans, tmp_path):
    # Five scans of 12 slices: 40 for training, 9 for test, 11 left out.
    rule = SplitRule(by="slice", train_count=40, test_count=9, val_fraction=0)
    manifest = prepare([scans], tmp_path / "out", PrepareConfig(parameters=SMALL, split_rule=rule))
    assert verify(tmp_path / "out") == manifest
    assert manifest.split_rule.by == "slice"
    assert sum(shard.slices for shard in manifest.of("train")) == 40
    assert sum(shard.slices for shard in manifest.of("test")) == 9
    used = [
        (shard.source, index)
        for shard in manifest.shards
        for index in {record.slice for record in records(tmp_path / "out" / shard.file)}
    ]
    assert len(used) == len(set(used)) == 49
    table = (tmp_path / "out" / "split.tsv").read_text().splitlines()
    assert table[0] == "scan\tslice\tsplit"
    assert len(table) == 50


def test_scans_that_share_a_name_get_shards_of_their_own(tmp_path):
    save(tmp_path / "x" / "a.nii.gz")
    save(tmp_path / "y" / "A.nii", phantom(seed=5))
    save(tmp_path / "y" / "a.nii.gz", phantom(seed=4))
    manifest = prepare([tmp_path / "x", tmp_path / "y"], tmp_path / "out", CONFIG)
    files = [shard.file for shard in manifest.shards]
    assert len({file.lower() for file in files}) == 3
    verify(tmp_path / "out")


def test_odd_names_make_portable_files(tmp_path):
    save(tmp_path / "Müller, Anna (copy) visit2.nii.gz")
    (shard,) = prepare([tmp_path], tmp_path / "out", CONFIG).shards
    assert shard.file.isascii()
    assert " " not in shard.file
    assert shard.subject.startswith("Müller")


def test_the_plan_of_an_interrupted_run_must_be_readable(scans, tmp_path, monkeypatch):
    interrupted(scans, tmp_path / "out", monkeypatch, 2)
    plan = tmp_path / "out" / ".progress" / "plan.json"
    for text in ("{", "{}", json.dumps({"software": pipeline.SOFTWARE})):
        plan.write_text(text)
        with pytest.raises(CorruptArtefactError, match="not the plan"):
            prepare([scans], tmp_path / "out", CONFIG)


def test_an_interrupted_run_of_another_version_is_refused_and_kept(scans, tmp_path, monkeypatch):
    interrupted(scans, tmp_path / "out", monkeypatch, 2)
    # As data_prep 1 wrote it: the scan of an item was its path alone.
    plan = tmp_path / "out" / ".progress" / "plan.json"
    item = {"file": "b.tfrecord", "scan": str(scans / "b.nii.gz"), "subject": "b", "session": ""}
    plan.write_text(json.dumps({"software": "data_prep 1", "items": [item | {"split": "train"}]}))
    before = digests(tmp_path / "out" / ".progress")
    with pytest.raises(ConfigError, match="software: data_prep 1 there, data_prep 2 asked for"):
        prepare([scans], tmp_path / "out", CONFIG)
    assert digests(tmp_path / "out" / ".progress") == before


def test_the_manifest_survives_reading(scans, tmp_path):
    manifest = prepare([scans], tmp_path / "out", CONFIG)
    assert read_manifest(tmp_path / "out") == manifest


def test_a_shard_that_a_power_cut_spoiled_is_made_again(scans, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first, second = interrupted(scans, out, monkeypatch, 2)
    (out / first).write_bytes(bytes((out / first).stat().st_size))
    kept = (out / second).stat().st_mtime_ns
    prepare([scans], out, CONFIG)
    assert (out / second).stat().st_mtime_ns == kept
    verify(out)


def test_interrupting_before_the_first_note_leaves_nothing(scans, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt  # the shard is written, the note is not

    with monkeypatch.context() as patch:
        patch.setattr("data_prep.prepare.resume.note", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare([scans], tmp_path / "out", CONFIG)
    assert not (tmp_path / "out").exists()
    prepare([scans], tmp_path / "out", CONFIG)


def test_ctrl_c_ends_the_command_and_its_workers(tmp_path):
    first = save(tmp_path / "scans" / "s_visit0.nii.gz", phantom((128, 128, 60), 0))
    for number in range(1, 24):  # a second of work: the signal must find some left
        os.link(first, tmp_path / "scans" / f"s_visit{number}.nii.gz")
    code = "from srmri_tf.cli import main; main()"
    command = [sys.executable, "-c", code, "prepare", str(tmp_path / "scans")]
    command += ["-o", str(tmp_path / "out"), "--workers", "2"]
    process = subprocess.Popen(
        command,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs inherit an ignored SIGINT; the user's terminal does not ignore.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not list((tmp_path / "out" / ".progress").glob("*.tfrecord.json")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout, stderr.splitlines()[-1]) == (130, "", "interrupted")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    verify(tmp_path / "out")


@pytest.fixture
def interpolated(tmp_path):
    """Two scans: k-space of one is filled to a half along columns, of the other wholly."""
    folder = tmp_path / "interpolated"
    for name, mask in (("half", abs(C) <= 0.5), ("whole", abs(C) <= 1)):
        images = scan(mask & (abs(R) <= 1), 0.01)
        # Seen as a radiologist does, the slices are these images.
        save(folder / f"{name}.nii.gz", images[:, ::-1, ::-1].T, spacing=(0.5, 0.6, 3))
    return folder


def test_scans_of_one_name_in_two_folders_are_not_taken_for_each_other(tmp_path):
    for seed, name in enumerate("abc"):
        save(tmp_path / "in" / "visit1" / f"{name}.nii.gz", phantom((24, 20, 12), seed))
    assert len(prepare([tmp_path / "in"], tmp_path / "out", CONFIG).shards) == 3
    again = save(tmp_path / "in" / "visit2" / "a.nii.gz", phantom((24, 20, 12), 9))
    with pytest.raises(ConfigError, match=r"\+ a\.nii\.gz as "):
        prepare([tmp_path / "in"], tmp_path / "out", CONFIG)
    assert len(prepare([tmp_path / "in"], tmp_path / "four", CONFIG).shards) == 4
    again.unlink()
    with pytest.raises(ConfigError, match=r"- a\.nii\.gz as "):
        prepare([tmp_path / "in"], tmp_path / "four", CONFIG)


def test_scans_beyond_the_train_count_are_counted_and_named(scans, tmp_path):
    rule = SplitRule(train_count=1, val_count=0, test_count=1)
    config = PrepareConfig(parameters=SMALL, split_rule=rule)
    manifest = prepare([scans], tmp_path / "out", config)
    used = {shard.source for shard in manifest.shards}
    others = {path.name for path in scans.iterdir()} - used
    assert {item.file for item in manifest.left_out} == others
    assert {item.reason for item in manifest.left_out} == {"scan beyond --train-count"}


def test_interpolated_scans_of_one_name_are_counted(interpolated, tmp_path):
    half = interpolated / "half.nii.gz"
    for number in range(2):
        folder = interpolated / str(number)
        folder.mkdir()
        scan = nib.load(half)
        noise = np.random.default_rng(number).random(scan.shape)
        nib.save(nib.Nifti1Image(scan.get_fdata() + 1e-3 * noise, scan.affine), folder / half.name)
    told = []
    prepare([interpolated], tmp_path / "out", CONFIG, warn=told.append)
    assert any("3 of 4 scans were interpolated" in text for text in told)


def test_interpolated_scans_are_named(interpolated, tmp_path):
    told = []
    manifest = prepare([interpolated], tmp_path / "out", CONFIG, warn=told.append)
    filled = {shard.source: shard.filled for shard in manifest.shards}
    np.testing.assert_allclose(filled["half.nii.gz"], (1, 0.5), atol=0.05)
    assert filled["whole.nii.gz"] == (1, 1)
    (text,) = told
    assert "1 of 2 scans were interpolated by the scanner, half.nii.gz the most" in text
    assert "filled to 1.00 of Nyquist along rows, 0.5" in text
    assert "--matrix acquired" in text
    told.clear()
    prepare([interpolated], tmp_path / "out", CONFIG, warn=told.append)
    assert len(told) == 1  # of a folder that is finished, too


def test_the_acquired_matrix_is_what_was_measured(interpolated, tmp_path):
    told = []
    parameters = Parameters(patch_size=10, matrix="acquired")
    rule = SplitRule(val_fraction=0, test_fraction=1)
    config = PrepareConfig(parameters=parameters, split_rule=rule)
    manifest = prepare([interpolated], tmp_path / "out", config, warn=told.append)
    assert told == []
    assert read_manifest(tmp_path / "out").parameters.matrix == "acquired"
    half, whole = sorted(manifest.shards, key=lambda shard: shard.source)
    assert (whole.slice_height, whole.slice_width, whole.filled) == (SIDE, SIDE, (1, 1))
    assert whole.spacing == (0.6, 0.5, 3)
    assert half.slice_height == SIDE
    assert 0.5 * SIDE <= half.slice_width <= 0.55 * SIDE
    assert half.slice_width % 2 == 0
    # The field of view is the same.
    assert half.spacing[1] * half.slice_width == pytest.approx(0.5 * SIDE, rel=1e-4)
    with pytest.raises(ConfigError, match="matrix: acquired there, stored asked for"):
        prepare([interpolated], tmp_path / "out", CONFIG)


def test_shards_of_before_have_no_coverage_and_open():
    manifest = read_manifest(Path(__file__).parents[2] / "before" / "shards")
    assert manifest.parameters.matrix == "stored"
    assert {shard.filled for shard in manifest.shards} == {None}


def test_a_scan_with_the_longest_name_there_can_be(scans, tmp_path):
    for letter in "xy":
        save(scans / f"{'n' * 247}{letter}.nii.gz", phantom(seed=ord(letter)))
    manifest = prepare([scans], tmp_path / "out", CONFIG)
    assert verify(tmp_path / "out") == manifest
    assert len({shard.file for shard in manifest.shards}) == 7
