"""Processes that all find no database yet, as the lanes of a first run do."""

import multiprocessing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from lang1_assets.resources.mlflow_client import open_client

NUM_PROCESSES = 2


def make_experiment(uri: str, number: int, barrier: Barrier) -> None:
    # Imported before they start together: importing takes longer than creating.
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    barrier.wait(60)
    open_client(uri).create_experiment(f"experiment {number}")


def test_whoever_comes_first_creates_the_tables_and_the_others_wait(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'not-there-yet' / 'mlflow.db'}"
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(NUM_PROCESSES)
    processes = [spawn.Process(target=make_experiment, args=(uri, n, barrier)) for n in range(NUM_PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * NUM_PROCESSES
    names = {found.name for found in open_client(uri).search_experiments()}
    assert names == {"Default", *(f"experiment {n}" for n in range(NUM_PROCESSES))}
