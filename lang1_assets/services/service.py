"""What a service is: a command, how one sees that it answers, and how it is ended."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Check = Callable[[], str | None]
"""What is wrong with a service; None when it answers. It may wait a few seconds, and is called in a thread."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process that is to run for as long as the supervisor does."""

    name: str
    command: tuple[str, ...]
    """Everybody on the machine can read it: no password, no token."""
    port: int | None = None
    check: Check
    environment: Mapping[str, str]
    after: tuple[str, ...] = ()
    """Services that answer before this one is started for the first time."""
    when_ready: Callable[[], None] | None = None
    """Called once, when it answers for the first time and before those that come after it start."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 30.0
    """Until SIGKILL."""
    folder: str | None = None
    """Where it runs; default: where the supervisor does."""
