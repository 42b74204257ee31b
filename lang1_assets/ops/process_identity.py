"""Which process it is, so that another one with the same number is not taken for it, and a clock that jumps changes nothing.

Numbers are given again, and the time at which a process began moves with the clock. Ticks from the machine's start to the
process's do not, and the kernel's boot id tells one start of the machine from the next (proc(5)).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROC = Path("/proc")
STATE, START_TICKS = 0, 19
"""Places in `/proc/PID/stat` behind the command's name, which may hold spaces and brackets itself."""
ENDED = "ZX"
"""States of what was killed and whose parent has not looked yet."""


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """One process of one machine between two of its starts."""

    host: str
    boot: str
    namespace: str
    """Of process numbers: a container has its own."""
    pid: int
    start_ticks: int

    def __str__(self) -> str:
        return f"{self.host} {self.boot} {self.namespace} {self.pid} {self.start_ticks}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `str` wrote; None for anything else."""
        parts = text.split(" ")
        if len(parts) != 5 or not (parts[3].isdecimal() and parts[4].isdecimal()):
            return None
        return cls(host=parts[0], boot=parts[1], namespace=parts[2], pid=int(parts[3]), start_ticks=int(parts[4]))


def identify(pid: int) -> ProcessIdentity | None:
    """A process that runs on this machine; None where none has this number, or it has ended."""
    facts = stat_of(pid)
    if facts is None or facts[STATE] in ENDED:
        return None
    return ProcessIdentity(
        host=socket.gethostname(),
        boot=(PROC / "sys/kernel/random/boot_id").read_text().strip(),
        namespace=os.readlink(PROC / "self/ns/pid"),
        pid=pid,
        start_ticks=int(facts[START_TICKS]),
    )


def is_of_earlier_boot(process: ProcessIdentity) -> bool:
    """Whether this machine was started anew since: then nothing of that time is there any more."""
    here = identify(os.getpid())
    assert here is not None
    return process.host == here.host and process.boot != here.boot


def is_gone(process: ProcessIdentity) -> bool | None:
    """Whether it has ended; None where that cannot be told from here: another machine's, or another container's."""
    here = identify(os.getpid())
    assert here is not None
    if process.host != here.host:
        return None
    if is_of_earlier_boot(process):
        return True
    if process.namespace != here.namespace or is_hidden(process.pid):
        return None
    return identify(process.pid) != process


def is_hidden(pid: int) -> bool:
    """Whether there is such a process, and this system does not let us see more of it (`hidepid`)."""
    if stat_of(pid) is not None:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False


def runs_the_same_program(pid: int) -> bool:
    """Whether a process is this interpreter too, or may be: one of this user that does not let itself be looked at.

    What another user keeps to himself is not ours.
    """
    try:
        return os.readlink(PROC / str(pid) / "exe") == os.readlink(PROC / "self/exe")
    except PermissionError:
        return owner_of(pid) == os.geteuid()
    except OSError:
        # It has ended, or is the kernel's own.
        return False


def owner_of(pid: int) -> int | None:
    """The effective user of a process; the owner of its folder may be root, where it does not let itself be looked at."""
    try:
        status = (PROC / str(pid) / "status").read_text()
    except OSError:
        return None
    return next((int(line.split()[2]) for line in status.splitlines() if line.startswith("Uid:")), None)


def stat_of(pid: int) -> list[str] | None:
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
