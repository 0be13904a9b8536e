"""Sharing a batch between devices and between machines."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep.errors import ConfigError, EnvironmentFault
from srmri_tf.models import checkpoint
from srmri_tf.recipes import to_toml
from srmri_tf.training import devices
from tests.srmri_tf.training.test_fitting import quick

WORKER = """
    import hashlib, sys
    from pathlib import Path
    from srmri_tf.recipes import load_recipe
    from srmri_tf.training import fit
    from srmri_tf.training.engine import Engine
    import pytest
    from tests.srmri_tf.small import use_small_networks

    use_small_networks(pytest.MonkeyPatch())
    train = Engine.train

    def train_and_tell(self):
        train(self)
        digest = hashlib.sha256()
        for weight in self.model.generator.get_weights() + self.model.critic.get_weights():
            digest.update(weight.tobytes())
        print("weights", digest.hexdigest())

    Engine.train = train_and_tell
    config, shards, run = sys.argv[1:]
    fit(load_recipe(config), Path(shards), Path(run))
"""


def strategy_of(count):
    return tf.distribute.MirroredStrategy(
        [device.name for device in tf.config.list_logical_devices("CPU")[:count]]
    )


@pytest.mark.parametrize("count", [1, 2])
def test_every_replica_gets_its_consecutive_share(count):
    strategy = strategy_of(count)
    data = tf.data.Dataset.from_tensor_slices((np.arange(12.0), -np.arange(12.0)))
    shared = devices.share(strategy, data.batch(4), 4)
    seen = []
    for first, second in shared:
        parts = strategy.experimental_local_results(first)
        assert len(parts) == count
        seen.append(np.concatenate([part.numpy() for part in parts]).tolist())
        others = np.concatenate([p.numpy() for p in strategy.experimental_local_results(second)])
        np.testing.assert_array_equal(others, -np.array(seen[-1]))
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_more_devices_than_there_are_is_refused():
    with pytest.raises(EnvironmentFault, match="99 devices"):
        devices.make_strategy(99)


def test_the_processor_is_two_devices():
    assert devices.make_strategy("cpu:2").num_replicas_in_sync == 2  # as conftest has divided it
    with pytest.raises(EnvironmentFault, match="cpu:3 was asked for, but TensorFlow has started"):
        devices.make_strategy("cpu:3")


def test_the_processor_is_divided_before_tensorflow_starts():
    program = (
        "from srmri_tf.training.devices import make_strategy\n"
        "print([make_strategy('cpu:3').num_replicas_in_sync for _ in range(2)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[3, 3]\n", done.stderr


def test_a_cluster_of_one_is_no_cluster(monkeypatch):
    cluster = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    assert isinstance(devices.make_strategy(1), tf.distribute.MirroredStrategy)


BATCH = {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    "step",
    [
        {},  # sbatch --ntasks=8, without srun
        {"SLURM_STEP_ID": "4294967291", "SLURM_STEP_NUM_TASKS": "8"},  # a batch script's own step
        {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1"},  # an interactive one
        {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"},  # srun --ntasks=1
    ],
)
def test_a_batch_script_trains_on_its_machine(monkeypatch, step):
    for name, value in (BATCH | step).items():
        monkeypatch.setenv(name, value)
    assert devices._cluster() is None
    assert isinstance(devices.make_strategy(1), tf.distribute.MirroredStrategy)


@pytest.mark.parametrize(("tasks", "hosts"), [("2", "node1"), ("1(x2)", "node[1-2]")])
@pytest.mark.parametrize("smi", [None, "exit 0", "exit 9"])
def test_tasks_of_srun_find_each_other_without_gpus(monkeypatch, tmp_path, tasks, hosts, smi):
    if smi:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    step = {
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": hosts,
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "0",
    }
    for name, value in (BATCH | step).items():
        monkeypatch.setenv(name, value)
    resolver = devices._cluster()
    workers = resolver.cluster_spec().as_dict()["worker"]
    expected = ["node1:8888", "node2:8888"] if "x" in tasks else ["node1:8888", "node1:8889"]
    assert workers == expected
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


@pytest.mark.parametrize(
    ("gpus", "local", "visible"),
    [(4, "1", [2, 3]), (2, "0", [0]), (1, "1", None), (0, "0", None)],
)
def test_tasks_on_one_machine_share_its_gpus(monkeypatch, gpus, local, visible):
    step = {
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": "node1",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_LOCALID": local,
    }
    for name, value in (BATCH | step).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(range(gpus)))
    chosen = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda some, kind: chosen.append(some))
    devices._cluster()
    assert chosen == ([] if visible is None else [visible])


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "3",
        "[]",
        '{"cluster": 3}',
        '{"cluster": {"worker": 3}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}',
    ],
)
def test_a_broken_tf_config_is_named(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match="TF_CONFIG"):
        devices.make_strategy()


@pytest.mark.parametrize("text", ["{}", '{"cluster": null}', '{"cluster": {"worker": ["a:1"]}}'])
def test_a_tf_config_of_one_worker_is_none(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert devices._cluster() is None


def test_a_number_of_devices_makes_no_sense_in_a_cluster(monkeypatch):
    cluster = {
        "cluster": {"worker": ["localhost:1", "localhost:2"]},
        "task": {"type": "worker", "index": 0},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ConfigError, match="several workers"):
        devices.make_strategy(2)


@pytest.mark.parametrize(
    ("jobs", "kind", "index", "expected"),
    [
        (["chief", "worker"], "chief", 0, True),
        (["chief", "worker"], "worker", 0, False),
        (["chief", "worker"], "worker", 1, False),
        (["worker"], "worker", 0, True),
        (["worker"], "worker", 1, False),
    ],
)
def test_one_process_of_a_cluster_writes(jobs, kind, index, expected):
    cluster = tf.train.ClusterSpec({job: [f"{job}:1", f"{job}:2"] for job in jobs})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type=kind, task_id=index
    )
    assert devices.is_chief(SimpleNamespace(cluster_resolver=resolver)) == expected


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def run_two_workers(config, shards, run):
    """Start two real worker processes on this machine; their standard outputs."""
    workers = [f"localhost:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(WORKER), config, shards, run],
                cwd=Path(__file__).parents[3],
                env={**os.environ, "TF_CONFIG": json.dumps(cluster)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    outputs = [process.communicate(timeout=240) for process in processes]
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-3000:]
    return [out for out, _ in outputs]


@pytest.mark.slow  # four processes with TensorFlow
def test_two_worker_processes_end_with_the_same_weights(shards, tmp_path):
    schedule = {"epochs": 1, "warmup_epochs": 1, "steps_per_epoch": 2}
    config = tmp_path / "recipe.toml"
    config.write_text(to_toml(quick(schedule=schedule)))
    run = tmp_path / "run"
    first, second = run_two_workers(str(config), str(shards), str(run))
    assert first.startswith("weights ")
    assert first == second
    assert json.loads((run / "run.json").read_text())["replicas"] == 2
    history = checkpoint.load(run / "checkpoint.npz")[1]["history"]
    assert [row["phase"] for row in history] == ["content", "adversarial"]
    # The chief alone wrote, and a second start of both finds the run finished.
    before = (run / "checkpoint.npz").stat().st_mtime_ns
    assert run_two_workers(str(config), str(shards), str(run)) == ["", ""]
    assert (run / "checkpoint.npz").stat().st_mtime_ns == before


def test_a_second_model_trains_on_the_same_devices():
    for width in (3, 5):
        strategy = devices.make_strategy(2)
        with strategy.scope():
            model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(width)])
            model.compile("sgd", "mse")
        x = np.ones((4, width), np.float32)
        model.fit(x, x, verbose=0)
