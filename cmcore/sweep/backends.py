"""Where cells are computed: in processes of this machine, or on the workers of a Dask cluster; joblib drives both."""

import contextlib
import os
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any, Literal

import joblib

from cmcore.sweep.cell import run_cell

Backend = Literal["local", "dask"]
SCHEDULER = "tcp://127.0.0.1:8786"
PATIENCE = 15.0
"""Seconds that a scheduler and its first worker have to answer."""


@contextlib.contextmanager
def workers(backend: Backend, jobs: int | None, scheduler: str | None, cells: int) -> Iterator[int]:
    """While inside, `joblib.Parallel` computes there; yields how many cells at once.

    Raises ValueError with one sentence when there is no such cluster.
    """
    if backend == "dask":
        with _cluster(scheduler or SCHEDULER) as count:
            yield count
        return
    count = max(1, min(jobs or joblib.cpu_count(), cells))
    if count == 1:  # in this process
        with joblib.parallel_config(backend="sequential"):
            yield 1
        return
    ending = {"initializer": _end_with, "initargs": (os.getpid(),)}
    with joblib.parallel_config(backend="loky", n_jobs=count, inner_max_num_threads=1, **ending):
        yield count


def _end_with(parent: int) -> None:
    """In a worker process: end as soon as the process that started it is gone, even if that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _lab_is_here() -> bool:
    """What can be unpacked and run only where the lab is installed."""
    return run_cell.__name__ == "run_cell"


@contextlib.contextmanager
def _cluster(scheduler: str) -> Iterator[int]:
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("The Dask backend needs Dask: pip install 'consistency-lab[cluster]'.") from None
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError):  # its timeout is an OSError, an address that is none a ValueError
        words = f"No Dask scheduler answers at {scheduler}: start one with `dask scheduler`, or give its address."
        raise ValueError(words) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except OSError:
            words = (
                f"The scheduler at {scheduler} has no worker: start some with `dask worker {scheduler} --nthreads 1`."
            )
            raise ValueError(words) from None
        try:  # joblib waits for ever for a task that cannot be unpacked there
            client.submit(_lab_is_here, pure=False).result(timeout=PATIENCE)
            client.run(_lab_is_here)
        except Exception as error:  # noqa: BLE001  whatever the other machine raises
            words = f"The cluster at {scheduler} cannot import this lab ({type(error).__name__})"
            raise ValueError(f"{words}: install the same version for its scheduler and all its workers.") from None
        with joblib.parallel_config(backend="dask", client=client):
            workers_of: Any = client.nthreads()  # awaited by the client itself, which is not asynchronous
            yield sum(workers_of.values())
