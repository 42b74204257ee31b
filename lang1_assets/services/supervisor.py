"""Keeps all services of one home running until it is asked to end, and then ends them in order."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from lang1_assets.ops.process_identity import ProcessIdentity, identify, is_gone
from lang1_assets.services import run_workers
from lang1_assets.services.groups import kill_group_of
from lang1_assets.services.keeper import Keeper, Say, keep_short, open_log
from lang1_assets.services.lineup import Places
from lang1_assets.services.passwords import write_private
from lang1_assets.services.service import Service
from lang1_assets.settings.serve import Serve

ROUND_SECONDS = 0.2
LOOK_SECONDS = 0.02
LEFT_BEHIND_SECONDS = 30.0
LOG_SECONDS = 60.0
STOPPED_FIRST = "daemon"
"""It starts runs."""


class AlreadyRunningError(ValueError):
    """Another supervisor has this home; the message gives its process."""


class Supervisor:
    """One keeper a service.

    Started in the main thread, which it does not leave: the kernel ends the services when that thread ends.
    """

    def __init__(self, places: Places, services: Sequence[Service], serve: Serve, save_seconds: float) -> None:
        self._places = places
        self._save_seconds = save_seconds
        self._asked_to_end = 0
        self._written = ""
        self._logs_due = 0.0
        self._log = places.logs / "supervisor.log"
        self._keepers = {
            service.name: Keeper(service, places.logs / f"{service.name}.log", self.say, serve) for service in services
        }

    def run(self, on_ready: Callable[[], None]) -> None:
        """Until SIGTERM or SIGINT; a second one gives nobody time to save.

        Args:
            on_ready: called once, when every service has answered.
        """
        # Also where SIGINT is ignored, as in background jobs of a shell: services would inherit that, and Dagster takes SIGTERM for
        # it and never ends. `nohup` means what it says.
        hangs_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
        for number in (signal.SIGTERM, signal.SIGINT, *hangs_up):
            signal.signal(number, self._ask_to_end)
        end_left_behind(self._places.processes, self.say)
        told = False
        with ThreadPoolExecutor(max_workers=len(self._keepers)) as threads:
            try:
                while not self._asked_to_end:
                    self._round(threads)
                    if not told and all(keeper.is_ready for keeper in self._keepers.values()):
                        told = True
                        on_ready()
                    time.sleep(ROUND_SECONDS)
            finally:
                self._end_all()

    def say(self, text: str) -> None:
        # A full disk ends no service.
        with suppress(OSError), open(open_log(self._log), "a") as log:
            log.write(f"{datetime.now().isoformat(timespec='seconds')} {text}\n")

    def _round(self, threads: ThreadPoolExecutor) -> None:
        for keeper in self._keepers.values():
            needed = [self._keepers[name] for name in keeper.service.after]
            keeper.look(threads, may_start=keeper.num_starts > 0 or all(other.is_ready for other in needed))
        with suppress(OSError):
            self._write_processes()
            self._keep_logs_short()

    def _keep_logs_short(self) -> None:
        if time.monotonic() > self._logs_due:
            self._logs_due = time.monotonic() + LOG_SECONDS
            for log in self._places.logs.glob("*.log"):
                keep_short(log)

    def _write_processes(self) -> None:
        text = json.dumps({name: keeper.describe() for name, keeper in self._keepers.items()}, indent=1)
        if text != self._written:
            write_private(self._places.processes, text)
            self._written = text

    def _end_all(self) -> None:
        """The daemon, so that no run starts; the runs, which save; then whoever was started last first."""
        self.say("ending")
        for name in [STOPPED_FIRST] if STOPPED_FIRST in self._keepers else []:
            self._end([name])
        seconds = 5.0 if self._asked_to_end > 1 else self._save_seconds
        for run_id in run_workers.end_all(self._places.run_workers, seconds, lambda: self._asked_to_end > 1):
            self.say(f"run {run_id}: its worker was ended; the next start takes it up again")
        rest = [name for name in reversed(self._keepers) if name != STOPPED_FIRST]
        self._end([name for name in rest if self._keepers[name].service.after])
        self._end([name for name in rest if not self._keepers[name].service.after])
        self._places.processes.unlink(missing_ok=True)
        self.say("ended")

    def _end(self, names: Sequence[str]) -> None:
        keepers = [self._keepers[name] for name in names]
        for keeper in keepers:
            keeper.end(keeper.service.stop_signal)
        deadline = time.monotonic() + max((keeper.service.stop_seconds for keeper in keepers), default=0.0)
        for keeper in keepers:
            keeper.wait(deadline - time.monotonic())

    def _ask_to_end(self, number: int, frame: Any) -> None:
        self._asked_to_end += 1


def end_left_behind(processes: Path, say: Say) -> None:
    """Services of a supervisor that was killed, which the kernel asked to end: make sure that they have."""
    if not processes.exists():
        return
    for name, held in json.loads(processes.read_text()).items():
        process = ProcessIdentity.parse(held["process"])
        if process is None:
            continue
        deadline = time.monotonic() + LEFT_BEHIND_SECONDS
        while is_gone(process) is False and time.monotonic() < deadline:
            time.sleep(ROUND_SECONDS)
        kill_group_of(process)
        say(f"{name}: pid {process.pid} of an earlier supervisor has ended")
    processes.unlink()


@contextmanager
def only_one(lock: Path) -> Iterator[IO[str]]:
    """Hold a home's lock, which names this process as long.

    Raises:
        AlreadyRunningError: another one holds it.
    """
    with open(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "r+") as handle:
        holder = try_to_lock(handle, fcntl.LOCK_EX)
        if holder is not None:
            raise AlreadyRunningError(f"these services run already, under process {holder}")
        handle.seek(0)
        handle.truncate()
        handle.write(str(identify(os.getpid())))
        handle.flush()
        try:
            yield handle
        finally:
            # While it is held: another one may write its own name as soon as it is not.
            os.truncate(lock, 0)


def supervisor_of(lock: Path) -> int | None:
    """The process that holds a home's lock; None when none does."""
    if not lock.exists():
        return None
    with open(lock) as handle:
        return try_to_lock(handle, fcntl.LOCK_SH)


def try_to_lock(handle: IO[str], kind: int) -> int | None:
    """Lock a file, or find the process that holds it.

    While no living process is named, whoever holds it is just starting or ending, or only looks who it is: that passes.
    """
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            named = ProcessIdentity.parse(handle.read())
            if named is not None and not is_gone(named):
                return named.pid
        else:
            return None
        time.sleep(LOOK_SECONDS)
