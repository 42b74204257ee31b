"""The processes that are killed, and how each is found at the moment of the kill."""

from __future__ import annotations

import random
import time
from pathlib import Path

import psutil

from lang1_assets.services.run_workers import SUFFIX
from tests.faults import clock
from tests.serving import Served

SERVICES = {"code server": "code_server", "daemon": "daemon", "Dask worker": "dask_worker", "PostgreSQL": "postgres"}
RUN_WORKER, RANK, CLOCK = "run worker", "training rank", "clock"
NOTHING = "nothing"
TARGETS = (RUN_WORKER, *SERVICES, RANK)
"""What is killed. `CLOCK` is set, forward or back, and nothing dies."""
LIVES = {RUN_WORKER: 60.0, RANK: 16.0, CLOCK: 24.0, **dict.fromkeys(SERVICES, 12.0)}
"""Seconds: each kill is at an age drawn evenly from 0 to this."""
JOBS = ("lang1_assets.ops.pretraining", "lang1_assets.ops.finetuning")


def processes_of(target: str, served: Served) -> list[psutil.Process]:
    """Those alive now; none where the target is between two lives or has nothing to do."""
    if target == RUN_WORKER:
        pids = [worker_pid(path) for path in served.places.run_workers.glob(f"*{SUFFIX}")]
    elif target == RANK:
        pids = [process.pid for process in served.processes() if is_rank(process)]
    else:
        pids = [row["pid"] for name, row in served.rows().items() if name.startswith(SERVICES[target])]
    return [process for pid in pids if pid and (process := alive(pid)) is not None]


def worker_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[3])
    except (OSError, ValueError, IndexError):
        return None


def is_rank(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(job in words for job in JOBS) and any(word.startswith("--local_rank") for word in words)


def alive(pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.Error:
        return None


def strike(target: str, served: Served, since: float, age: float, rng: random.Random) -> bool:
    """Kill one process, or set the clock, when it is time to; whether it was."""
    if target != CLOCK:
        return kill_one(target, served, since, age, rng)
    folder = served.places.home.parent
    if time.time() - max(clock.offset_file(folder).stat().st_mtime, since) < age:
        return False
    clock.jump(folder, rng)
    return True


def kill_one(target: str, served: Served, since: float, age: float, rng: random.Random) -> bool:
    """SIGKILL for one of the target's processes, chosen at random among those that have lived for `age` seconds.

    Args:
        since: when the run of the whole path began, in seconds since 1970; what lived before is as old as that.
    """
    found = [process for process in processes_of(target, served) if age_of(process, since) >= age]
    if not found:
        return False
    try:
        rng.choice(found).kill()
    except psutil.Error:
        return False
    return True


def age_of(process: psutil.Process, since: float) -> float:
    try:
        return time.time() - max(process.create_time(), since)
    except psutil.Error:
        return -1.0
