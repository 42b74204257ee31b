"""Jobs spread over processes of this machine, their results in the order of the jobs."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerDiedError(RuntimeError):
    """A process was killed from outside, most likely for want of memory."""


class Workers:
    """Some processes that live as long as the `with` block; one worker is this very process."""

    def __init__(self, num_workers: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        if num_workers > 1:
            # Spawned: the thread pool of Polars does not survive a fork.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=use_one_thread)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def in_order(
        self,
        function: Callable[[Job], Result],
        jobs: Sequence[Job],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Result]:
        """`function` of each job.

        Args:
            on_progress: told (jobs done, jobs in all) after each.

        Raises:
            WorkerDiedError: what to lower is for the caller to say.
        """
        results = []
        try:
            for result in self._map(function, jobs):
                results.append(result)
                on_progress(len(results), len(jobs))
        except BrokenProcessPool:
            raise WorkerDiedError("a worker process died, most likely for want of memory") from None
        return results

    def _map(self, function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        return map(function, jobs) if self._pool is None else self._pool.map(function, jobs)


def use_one_thread() -> None:
    """Before any library starts its threads: the processes are the parallelism."""
    os.environ.update(RAYON_NUM_THREADS="1", POLARS_MAX_THREADS="1", TOKENIZERS_PARALLELISM="false")
