"""Keeps one service running: starts it, asks whether it answers, starts it again with growing pauses, ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from lang1_assets.ops.process_identity import identify
from lang1_assets.ops.training.processes import signal_group
from lang1_assets.services.groups import wait_until_gone
from lang1_assets.services.service import Service
from lang1_assets.settings.serve import Serve

FIRST_PAUSE_SECONDS = 0.5
STEADY_SECONDS = 60.0
"""A service that has run this long and dies is started again without a pause."""
STARTING_CHECK_SECONDS = 1.0
FAILURES_UNTIL_HUNG = 3
MAX_LOG_BYTES = 20_000_000

Say = Callable[[str], None]


class Keeper:
    """One service and its process. All of it is called by one thread; only the check itself runs in another.

    The kernel's death signal is sent when the *thread* that started a process ends, so that thread is the main one.
    """

    def __init__(self, service: Service, log: Path, say: Say, settings: Serve) -> None:
        self.service = service
        self.num_starts = 0
        self.answers = False
        """Whether the last check found nothing wrong."""
        self._was_ready = False
        self._log = log
        self._say = say
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._identity = ""
        self._started = self._due = self._check_due = 0.0
        self._pause = FIRST_PAUSE_SECONDS
        self._failures = 0
        self._pending: Future[str | None] | None = None
        """Of this process: what is said of an earlier one is not listened to."""

    @property
    def is_ready(self) -> bool:
        """Whether it has answered since it was first started, and what is to follow that has been done."""
        return self._was_ready

    def look(self, threads: Executor, *, may_start: bool) -> None:
        """One round: notice an end, start what is due, take or ask for an answer. Never waits."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            self._ended(now, f"ended with code {self._process.returncode}")
        if self._process is None:
            if may_start and now >= self._due:
                self._try_to_start(now)
            return
        self._take_answer(now)
        if self._process is not None and self._pending is None and now >= self._check_due:
            self._pending = threads.submit(self.service.check)

    def end(self, stop_signal: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(stop_signal)

    def wait(self, seconds: float) -> None:
        """Until it has ended by itself, or by SIGKILL; then nothing of its group is left."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self._say(f"{self.service.name}: does not end, killed")
        signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        wait_until_gone(self._process.pid)
        self._process, self.answers = None, False
        self._say(f"{self.service.name}: has ended")

    def describe(self) -> dict[str, Any]:
        """What `processes.json` says; without a number while there is no process."""
        return {
            "pid": None if self._process is None else self._process.pid,
            "port": self.service.port,
            "command": list(self.service.command),
            "process": "" if self._process is None else self._identity,
            "starts": self.num_starts,
            "answers": self.answers,
        }

    def _try_to_start(self, now: float) -> None:
        try:
            self._start(now)
        except OSError as error:
            # The disk is full, or there is no memory: that passes.
            self._pause_before_next(now, f"cannot be started ({error.strerror}: {error.filename})")

    def _start(self, now: float) -> None:
        with open(open_log(self._log), "ab") as log:
            self._process = subprocess.Popen(
                [*ends_with_supervisor(self.service.stop_signal), *self.service.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.service.environment),
                cwd=self.service.folder,
                start_new_session=True,
            )
        self._identity = str(identify(self._process.pid) or "")
        self.num_starts += 1
        self.answers, self._failures = False, 0
        self._started, self._check_due = now, now + STARTING_CHECK_SECONDS
        self._say(f"{self.service.name}: started, pid {self._process.pid}, port {self.service.port}")

    def _ended(self, now: float, how: str) -> None:
        assert self._process is not None
        # What it had started itself may still hold its port.
        signal_group(self._process.pid, signal.SIGKILL)
        self._process, self._pending, self.answers = None, None, False
        self._pause = FIRST_PAUSE_SECONDS if now - self._started > STEADY_SECONDS else self._pause
        self._pause_before_next(now, how)

    def _pause_before_next(self, now: float, how: str) -> None:
        self._due = now + self._pause
        self._say(f"{self.service.name}: {how}; starts again in {self._pause:.1f} s (its log: {self._log})")
        self._pause = min(2 * self._pause, self._settings.longest_pause_seconds)

    def _take_answer(self, now: float) -> None:
        if self._pending is None or not self._pending.done():
            return
        error = self._pending.exception()
        wrong = type(error).__name__ if error is not None else self._pending.result()
        self._pending = None
        self._check_due = now + (
            self._settings.check_seconds if self.answers or wrong is None else STARTING_CHECK_SECONDS
        )
        wrong = self._what_follows() if wrong is None else wrong
        if wrong is None:
            self._answered(now)
        elif not self.answers:
            self._still_silent(now, wrong)
        else:
            self._failed(now, wrong)

    def _what_follows(self) -> str | None:
        """What has to be done when it answers for the first time; what went wrong with it, which is tried again."""
        if self._was_ready or self.service.when_ready is None:
            return None
        try:
            self.service.when_ready()
        except ValueError as error:
            # Those of this package say what to do, and no password.
            self._say(f"{self.service.name}: {error}")
            return type(error).__name__
        except Exception as error:
            return type(error).__name__
        return None

    def _answered(self, now: float) -> None:
        if not self.answers:
            self._say(f"{self.service.name}: answers, {now - self._started:.1f} s after its start")
        self.answers, self._was_ready, self._failures = True, True, 0

    def _still_silent(self, now: float, wrong: str) -> None:
        if now - self._started > self._settings.start_seconds:
            self._kill(now, f"has not answered within {self._settings.start_seconds:.0f} s ({wrong})")

    def _failed(self, now: float, wrong: str) -> None:
        self._failures += 1
        self._say(f"{self.service.name}: {wrong} ({self._failures} of {FAILURES_UNTIL_HUNG})")
        if self._failures >= FAILURES_UNTIL_HUNG:
            self._kill(now, "hangs")

    def _kill(self, now: float, why: str) -> None:
        assert self._process is not None
        signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._ended(now, why)


def ends_with_supervisor(number: signal.Signals) -> list[str]:
    """Words before a command that have the kernel end it when its supervisor is killed: the next one needs the ports.

    A program, since Python code between fork and exec can hang a process that has threads. It becomes the command: the process
    number stays.
    """
    return ["setpriv", "--pdeathsig", number.name.removeprefix("SIG"), "--"]


def open_log(path: Path) -> int:
    """For its owner alone, and for appending: what is written after it was cut goes to its new end."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def keep_short(log: Path) -> None:
    """Keep the last `MAX_LOG_BYTES` and the ones before them: a service that runs for years fills no disk.

    Raises:
        OSError: the disk is full already; the log is then left as it is.
    """
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        kept = log.with_name(log.name + ".1")
        kept.write_bytes(log.read_bytes())
        kept.chmod(0o600)
        os.truncate(log, 0)
