"""The same plan on a Dask cluster: its executor takes the place of local processes."""

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import contextmanager

from data_prep.errors import EnvironmentFault

CONNECT_SECONDS = 20


@contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """An executor of the cluster whose scheduler listens at ``address``.

    Its workers need this package, and must see scans and output folder under the same paths.

    Args:
        address: Such as ``tcp://10.0.0.1:8786``.

    Raises:
        EnvironmentFault: distributed is not installed, nobody answers, or the cluster is lost.
    """
    try:
        from distributed import Client
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError
        from distributed.comm.addressing import resolve_address
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise EnvironmentFault(
            "--dask needs the package distributed",
            remedy="Install it with `pip install 'srmri-tf[dask]'`",
        ) from None
    try:
        resolve_address(address)  # a Client of a wrong one prints an error when it is deleted
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"no Dask scheduler answers at {address} ({error})", remedy="Check the address"
        ) from None
    with client:
        try:
            yield client.get_executor(retries=2)
        except (CommClosedError, KilledWorker, FutureCancelledError, BrokenExecutor) as error:
            raise EnvironmentFault(
                f"the Dask cluster at {address} was lost ({type(error).__name__})",
                remedy="Run the same command again; what is finished is kept",
            ) from None
