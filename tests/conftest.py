"""Where temporary folders are, and Hypothesis without a deadline: these machines are noisy, and no test here is about time."""

import os
import shutil
from pathlib import Path

import psutil
from hypothesis import settings

# Before anything loads torch: two workers of tests on two cores, each with two threads that spin while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 10 * 2**30


def memory_is_enough() -> bool:
    """Room for all temporary folders of the suite, in which programs may be started."""
    if not MEMORY.is_dir():
        return False
    room = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available)
    return room > ENOUGH_BYTES and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC


# A third of a whole run is SQLite's waiting for the disk at each of Dagster's thousand events.
if memory_is_enough():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

settings.register_profile("lang1", deadline=None, derandomize=True)
settings.load_profile("lang1")
