"""When the next request may start: a server's rate limit, and the pauses that it asks for."""

from __future__ import annotations

import threading
import time

from lang1_assets.ops.served.errors import StoppedError


class Pace:
    """Shared by all threads that ask one server."""

    def __init__(self, requests_per_minute: float | None) -> None:
        self._interval = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._lock = threading.Lock()
        self._next = 0.0
        self._held_until = 0.0
        self.stop = threading.Event()
        """Set when no more requests shall start."""

    def wait(self) -> None:
        """Return when a request may start; starts are evenly spaced, so no minute has more than its share.

        Raises:
            StoppedError: the run is ending.
        """
        with self._lock:
            start = max(time.monotonic(), self._next)
            self._next = start + self._interval
        # In a loop: another thread may be told to wait while this one sleeps.
        while (left := max(start, self._held_until) - time.monotonic()) > 0:
            self.sleep(left)
        self.sleep(0)

    def hold(self, seconds: float) -> None:
        """Nobody starts for so long: the server said that it has had enough."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        if self.stop.wait(max(seconds, 0.0)):
            raise StoppedError("stopped before it was asked")
