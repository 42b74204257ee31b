"""A job that was started, wherever it runs."""

from __future__ import annotations

from typing import Protocol


class LaunchError(ValueError):
    """A job cannot be started as the profile says; the message names the file, the line and what was expected."""


class StartedJob(Protocol):
    """What the launcher asks of a job while it follows it."""

    poll_seconds: float
    """Between two looks."""
    outlives_dagster: bool
    """Whether the job goes on when the process that started it ends; another one then takes it up again."""

    def exit_code(self) -> int | None:
        """None while the job runs or waits to run."""

    def stop(self, grace_seconds: float) -> None:
        """End it everywhere, with time to save; nothing of it is left when this returns."""

    def describe(self) -> str:
        """Where it runs, for a person."""
