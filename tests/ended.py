"""Whether a process is at its end, asked so that one that ends meanwhile is no error."""

import psutil


def has_ended(pid: int) -> bool:
    """A zombie has: somebody has yet to ask for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
