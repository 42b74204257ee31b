"""What a dead process left behind in its process group."""

from __future__ import annotations

import os
import signal
import time

from lang1_assets.ops.process_identity import ProcessIdentity, identify, is_gone
from lang1_assets.ops.training.processes import group_members, signal_group

POLL_SECONDS = 0.05


def kill_group_of(process: ProcessIdentity) -> None:
    """Kill the group that a process led, itself included, if the group of this number can be no other one.

    The kernel gives out no number that a group still has; after the machine has started anew it may be anybody's.
    """
    now = identify(process.pid)
    same_boot = (
        is_gone(process) is not None and (here := identify(os.getpid())) is not None and here.boot == process.boot
    )
    if same_boot and now in (None, process):
        signal_group(process.pid, signal.SIGKILL)
        wait_until_gone(process.pid)


def wait_until_gone(group: int, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while group_members(group) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
