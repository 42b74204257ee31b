"""Jobs spread over processes of this machine, their results in the order of the jobs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerDiedError(RuntimeError):
    """A process was killed from outside, most likely for want of memory."""


def in_order(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    num_workers: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Result]:
    """`function` of each job; with one worker or one job in this very process.

    Args:
        on_progress: told (jobs done, jobs in all) after each.

    Raises:
        WorkerDiedError: what to lower is for the caller to say.
    """
    for done, result in enumerate(_results(function, jobs, min(num_workers, len(jobs))), start=1):
        on_progress(done, len(jobs))
        yield result


def _results(function: Callable[[Job], Result], jobs: Sequence[Job], num_workers: int) -> Iterator[Result]:
    if num_workers <= 1:
        yield from map(function, jobs)
        return
    # Spawned: the thread pool of Polars does not survive a fork.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(num_workers, mp_context=context, initializer=use_one_thread) as pool:
            yield from pool.map(function, jobs)
    except BrokenProcessPool:
        raise WorkerDiedError("a worker process died, most likely for want of memory") from None


def use_one_thread() -> None:
    """Before any library starts its threads: the processes are the parallelism."""
    os.environ.update(RAYON_NUM_THREADS="1", POLARS_MAX_THREADS="1", TOKENIZERS_PARALLELISM="false")
