"""Lanes: processes that make entries of an agenda, each on cores of its own.

A job of a small model keeps two cores half busy: it imports, validates and saves on one. Two such jobs side by side, a core each,
do more than two jobs on both cores one after another. A lane is a process that imports everything once and then makes one entry
after another; what it does it reports to the process that a person started.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from lang1_assets.console import LANE_VARIABLE
from lang1_assets.ops.freed_memory import give_back_freed_memory
from lang1_assets.ops.training.processes import signal_at_parent_s_death

if TYPE_CHECKING:
    import dagster as dg

POOL = "accelerator"
POLL_SECONDS = 1.0
BEGINS, MADE, REUSED, FAILED, INTERRUPTED = "begins", "made", "reused", "failed", "interrupted"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing to make."""

    asset: str
    partition: str | None = None

    @property
    def title(self) -> str:
        return self.asset if self.partition is None else f"{self.asset}, {self.partition}"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a lane says of an entry."""

    lane: int
    entry: Entry
    state: str
    seconds: float = 0.0


Make = Callable[[Entry, int], Report]
"""Makes one entry in the lane of a number."""


class LaneLostError(RuntimeError):
    """A lane's process was killed."""


def shares(cores: Sequence[int], num_lanes: int) -> list[list[int]]:
    """Cores of each lane: every core once, and at least one a lane where there are enough.

    >>> shares([0, 1, 2, 3, 4], 2)
    [[0, 1, 2], [3, 4]]
    >>> shares([0], 2)
    [[0], [0]]
    """
    if len(cores) < num_lanes:
        return [list(cores)] * num_lanes
    size, more = divmod(len(cores), num_lanes)
    ends = [size * (lane + 1) + min(lane + 1, more) for lane in range(num_lanes)]
    return [list(cores[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def work_through(groups: Sequence[Sequence[Entry]], num_lanes: int, make: Make) -> Generator[Report, None, None]:
    """Make groups of entries, those of one group in order and by one lane, the next group by whichever lane is free.

    Args:
        make: a function of a module; each lane imports it.

    Raises:
        KeyboardInterrupt: a person stopped it; the lanes have ended, their jobs saved.
        LaneLostError: a lane was killed from outside; the other lanes were stopped.
    """
    context = multiprocessing.get_context("spawn")
    tasks: Any = context.Queue()
    reports: Any = context.Queue()
    num_lanes = min(num_lanes, len(groups))
    for task in [*groups, *[None] * num_lanes]:
        tasks.put(task)
    parts = shares(sorted(os.sched_getaffinity(0)), num_lanes)
    lanes = [
        context.Process(target=lane, args=(number if num_lanes > 1 else 0, part, tasks, reports, make))
        for number, part in enumerate(parts, 1)
    ]
    for process in lanes:
        process.start()
    try:
        yield from told(lanes, reports)
    finally:
        end(lanes)


def told(lanes: Sequence[SpawnProcess], reports: Any) -> Iterator[Report]:
    """What the lanes say, until the last of them has ended."""
    while True:
        running = any(process.is_alive() for process in lanes)
        try:
            report: Report = reports.get(timeout=POLL_SECONDS)
        except queue.Empty:
            killed = [process.exitcode for process in lanes if process.exitcode]
            if killed:
                raise LaneLostError(
                    f"a process that was at work ended with code {killed[0]} (out of memory? see the kernel's log)"
                ) from None
            if not running:
                return
            continue
        if report.state == INTERRUPTED:
            raise KeyboardInterrupt
        yield report


def end(lanes: Sequence[SpawnProcess]) -> None:
    """Stop what still works, as Ctrl-C would, and wait until it has saved."""
    for process in lanes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
    for process in lanes:
        process.join()


def lane(number: int, cores: Sequence[int], tasks: Any, reports: Any, make: Make) -> None:
    """The body of a lane's process.

    Args:
        number: 0 where it is the only one.
    """
    # A terminal's Ctrl-C is for the process that a person started, which passes it on, once.
    os.setpgrp()
    signal_at_parent_s_death(signal.SIGINT)
    os.sched_setaffinity(0, cores)
    if number:
        os.environ[LANE_VARIABLE] = str(number)
    try:
        while (group := tasks.get()) is not None:
            for entry in group:
                reports.put(Report(lane=number, entry=entry, state=BEGINS))
                report = make(entry, number)
                reports.put(report)
                give_back_freed_memory()
                if report.state == INTERRUPTED:
                    return
    except KeyboardInterrupt:
        # Between two entries, or while everything is imported.
        return


@contextmanager
def places_for(num_lanes: int, instance: dg.DagsterInstance) -> Iterator[None]:
    """One place a lane in the accelerator pool, while they work: each lane's cores are an accelerator of its own."""
    if num_lanes == 1:
        yield
        return
    storage = instance.event_log_storage
    before = next(
        (pool.limit for pool in storage.get_pool_limits() if pool.name == POOL and not pool.from_default), None
    )
    storage.set_concurrency_slots(POOL, num_lanes)
    try:
        yield
    finally:
        if before is None:
            # As `dagster.yaml` has it again.
            storage.delete_concurrency_limit(POOL)
        else:
            storage.set_concurrency_slots(POOL, before)
