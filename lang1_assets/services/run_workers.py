"""Which process works on which run: a file a run, written by that process itself before it becomes Dagster's worker.

A worker belongs to nobody: the daemon that started it may die and come back while a model trains for a month. Whether it is
still there is told by its number and the moment it began.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lang1_assets.ops.process_identity import ProcessIdentity, identify, is_gone
from lang1_assets.services.groups import kill_group_of

FOLDER_VARIABLE = "LANG1_RUN_WORKERS"
RUN_ID = re.compile(r"[0-9a-f-]{8,64}")
POLL_SECONDS = 0.2
SUFFIX = ".worker"


@dataclass(frozen=True, kw_only=True)
class Worker:
    """The process of one run; it leads a process group, in which its steps are."""

    run_id: str
    process: ProcessIdentity

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Also where it cannot be told: what cannot be seen from here is not said to be gone."""
        return not is_gone(self.process)


def command_of(folder: Path, run_id: str, command: Sequence[str]) -> list[str]:
    """The command that registers its process as the worker of a run and goes on as `command`."""
    return [sys.executable, "-m", "lang1_assets.services.run_workers", str(folder), run_id, *command]


def register(folder: Path, run_id: str) -> None:
    """Write down that this process is the worker."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = folder / f".{run_id}.{os.getpid()}"
    beside.write_text(str(identify(os.getpid())))
    beside.rename(folder / f"{run_id}{SUFFIX}")


def find(folder: Path, run_id: str) -> Worker | None:
    """The worker that was registered for a run; None when there was none, or its file was cleared away."""
    try:
        process = ProcessIdentity.parse((folder / f"{run_id}{SUFFIX}").read_text())
    except FileNotFoundError:
        return None
    return None if process is None else Worker(run_id=run_id, process=process)


def all_running(folder: Path) -> list[Worker]:
    found = [find(folder, path.stem) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    # Only those that are certainly there: they are about to be signaled.
    return [worker for worker in found if worker is not None and is_gone(worker.process) is False]


def clear_away(folder: Path, older_than_seconds: float = 86_400.0) -> None:
    """Remove the files of workers that ended long ago."""
    for path in folder.glob(f"*{SUFFIX}"):
        worker = find(folder, path.stem)
        if worker is None or (not worker.is_running and time.time() - path.stat().st_mtime > older_than_seconds):
            path.unlink(missing_ok=True)


def end_rest(worker: Worker) -> None:
    """Of a worker that died: kill the steps that it left behind; they would go on writing beside the run that follows."""
    kill_group_of(worker.process)


def end_all(folder: Path, seconds: float, is_hurried: Callable[[], bool]) -> list[str]:
    """Ask every worker to end, which has training save; kill what is left after the time, or as soon as somebody is in a hurry.

    Returns:
        the runs that were worked on.
    """
    workers = all_running(folder)
    for worker in workers:
        # One may end by itself since it was looked at.
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while any(worker.is_running for worker in workers) and time.monotonic() < deadline and not is_hurried():
        time.sleep(POLL_SECONDS)
    for worker in workers:
        end_rest(worker)
    return [worker.run_id for worker in workers]


def main() -> None:
    folder, run_id, *command = sys.argv[1:]
    if not RUN_ID.fullmatch(run_id):
        sys.exit(f"'{run_id}' is no run's id")
    register(Path(folder), run_id)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
