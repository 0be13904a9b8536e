import os
import socket
import subprocess
import sys
import time

import pytest

from data_prep.errors import EnvironmentFault
from data_prep.prepare.cluster import dask_executor
from data_prep.prepare.pipeline import PrepareConfig, prepare
from data_prep.shards.files import verify
from data_prep.shards.schema import Parameters
from tests.data_prep.phantoms import phantom, save

CONFIG = PrepareConfig(parameters=Parameters(patch_size=10))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two worker processes, as a person would start them."""
    address = f"tcp://127.0.0.1:{free_port()}"
    environment = os.environ | {"DASK_DISTRIBUTED__ADMIN__LOG_FORMAT": "%(message)s"}
    commands = [
        ["distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"],
        *[["distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]] * 2,
    ]
    processes = []
    try:
        for command in commands:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=tmp_path,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        yield address
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_a_dask_cluster_makes_the_same_bytes(cluster, tmp_path):
    for number in range(4):
        save(tmp_path / "scans" / f"s{number}.nii.gz", phantom((24, 20, 12), number))
    deadline = time.monotonic() + 60
    while True:
        try:
            with dask_executor(cluster) as executor:
                prepare([tmp_path / "scans"], tmp_path / "dask", CONFIG, executor=executor)
            break
        except EnvironmentFault:  # the scheduler is still starting
            assert time.monotonic() < deadline
    prepare([tmp_path / "scans"], tmp_path / "local", CONFIG)
    assert verify(tmp_path / "dask") == verify(tmp_path / "local")


def test_no_scheduler_is_an_environment_fault(monkeypatch):
    monkeypatch.setattr("data_prep.prepare.cluster.CONNECT_SECONDS", 0.3)
    address = f"tcp://127.0.0.1:{free_port()}"
    with (
        pytest.raises(EnvironmentFault, match="no Dask scheduler answers"),
        dask_executor(address),
    ):
        pass


@pytest.mark.parametrize("address", ["nonsense", "tcp://nonsense", "carrier-pigeon://a:1", ""])
def test_what_is_no_address_makes_no_client(monkeypatch, address):
    monkeypatch.delattr("distributed.Client.__init__")
    with pytest.raises(EnvironmentFault, match="no Dask scheduler answers"), dask_executor(address):
        pass


def test_without_distributed_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(EnvironmentFault, match=r"pip install 'srmri-tf\[dask\]'"),
        dask_executor("tcp://127.0.0.1:1"),
    ):
        pass
