"""Dagster's daemon in a container of its own (`infra/compose.yaml`), which ends only when its runs have saved.

Whoever stops a container asks one process to end and kills what is left when that has ended. Workers of runs are in sessions of
their own, so that nobody else would ask them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from lang1_assets.services import run_workers
from lang1_assets.settings import load_settings

DAEMON_SECONDS = 30.0
"""Until it is killed."""
EXTRA_SAVE_SECONDS = 30.0
"""For a run's steps to end after their training has saved."""


class ContainerDaemon:
    """One daemon, and the workers that it starts.

    Args:
        folder: where workers write down which process they are.
        save_seconds: what a worker may take to end.
    """

    def __init__(self, command: list[str], folder: Path, save_seconds: float) -> None:
        self._folder = folder
        self._save_seconds = save_seconds
        self._asked_to_end = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in folder.glob(f"*{run_workers.SUFFIX}"):
            # Those of an earlier container are gone with it: run monitoring then has their runs started again.
            path.unlink()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_end)
        self._daemon = subprocess.Popen(command)

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or until the daemon dies; a second signal gives nobody time to save.

        Returns:
            0 when it was asked to end; the daemon's exit status when it was not, as a shell gives it.
        """
        status = self._wait()
        for run_id in run_workers.end_all(self._folder, self._save_seconds, lambda: self._asked_to_end > 1):
            print(f"run {run_id}: its worker was ended; it is started again with the container", flush=True)
        if self._asked_to_end:
            return 0
        return status if status >= 0 else 128 - status

    def _wait(self) -> int:
        while not self._asked_to_end:
            try:
                return self._daemon.wait(run_workers.POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        self._daemon.terminate()
        try:
            return self._daemon.wait(DAEMON_SECONDS)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            return self._daemon.wait()

    def _ask_to_end(self, number: int, frame: Any) -> None:
        self._asked_to_end += 1


def main() -> None:
    save_seconds = load_settings().launch.save_seconds + EXTRA_SAVE_SECONDS
    folder = Path(os.environ[run_workers.FOLDER_VARIABLE])
    sys.exit(ContainerDaemon(sys.argv[1:], folder, save_seconds).run())


if __name__ == "__main__":
    main()
