"""Process groups and their ends: nothing that a training job starts outlives it. No torch here."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

POLL_SECONDS = 0.2
SET_PARENT_DEATH_SIGNAL = 1


def signal_at_parent_s_death(number: int) -> None:
    """Linux: have the kernel send this process a signal when the one that started it dies."""
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, number)


def die_with_parent() -> None:
    """Get SIGKILL when the launcher dies, so that a killed run leaves no rank behind.

    A rank that loses only its peers ends by itself: the launcher ends all ranks when one is gone.
    """
    parent = os.getppid()
    signal_at_parent_s_death(signal.SIGKILL)
    threading.Thread(target=_exit_when_orphaned, args=(parent,), daemon=True).start()


def _exit_when_orphaned(parent: int) -> None:
    # The death signal is lost if the launcher died before it was asked for.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def end_group(group: int, grace_seconds: float, reap: Callable[[], object], *, spare_leader: bool = False) -> None:
    """End a whole process group: SIGTERM, time to save, SIGKILL.

    Args:
        spare_leader: no SIGTERM for the leader while there are others: DeepSpeed's launcher would kill its ranks 30 seconds
            later, whether they have saved or not, and ends by itself when they do.
        reap: called while waiting, to collect the caller's own children, which would otherwise stay as zombies.
    """
    others = [pid for pid in group_members(group) if pid != group] if spare_leader else []
    if others:
        signal_each(others, signal.SIGTERM)
    else:
        signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and group_members(group):
        reap()
        time.sleep(POLL_SECONDS)
    signal_group(group, signal.SIGKILL)


def signal_each(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def group_members(group: int) -> list[int]:
    members = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except ProcessLookupError:
            continue
    return members
