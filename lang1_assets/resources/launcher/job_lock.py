"""One job a folder: ranks that save because their step was killed keep the next job of that folder waiting."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lang1_assets.resources.launcher.jobs import LaunchError

POLL_SECONDS = 0.2


@contextmanager
def held_by_job(work: Path, seconds: float, on_wait: Callable[[], None]) -> Iterator[int]:
    """A descriptor of the folder's lock, for the process to inherit that ends the job's ranks.

    The kernel lets go of it when the last process that has it is gone: not with the step that started the job, but with the
    job. The file lies beside the folder, which is moved when it is finished.

    Args:
        seconds: how long an earlier job may take for saving.
        on_wait: called once, when there is one.

    Raises:
        LaunchError: it is still there after that.
    """
    path = work.with_name(work.name + ".job.lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        wait_for_earlier(descriptor, work, seconds, on_wait)
        yield descriptor
    finally:
        os.close(descriptor)


def wait_for_earlier(descriptor: int, work: Path, seconds: float, on_wait: Callable[[], None]) -> None:
    deadline = time.monotonic() + seconds
    if not is_taken(descriptor):
        return
    on_wait()
    # A loop, not a blocking call: whoever stops the run is not kept waiting too.
    while is_taken(descriptor):
        if time.monotonic() > deadline:
            raise LaunchError(
                f"a job that was started earlier still writes into {work}; end its processes, then run this again"
            )
        time.sleep(POLL_SECONDS)


def is_taken(descriptor: int) -> bool:
    """Whether somebody else has the lock; otherwise it is ours from here on."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
