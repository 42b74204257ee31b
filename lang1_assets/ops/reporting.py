"""What a training job tells the outside while it runs: lines of progress, metrics by step, and alerts.

Everything goes to files in the work folder, so the job runs by itself on a bare GPU machine; where a Dagster Pipes session
is open, the lines also appear in Dagster while the job runs. Nothing here ever holds note text.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TextIO

METRICS_FILE = "metrics.jsonl"
ALERTS_FILE = "alerts.jsonl"


class Reporter:
    """Rank 0 reports; the other ranks' reporters are silent."""

    def __init__(self, work: Path, rank: int) -> None:
        self._active = rank == 0
        self.retake = 0
        """How often the run has gone back and taken steps anew on other data: those are other steps of the same number."""
        self._told = told_metrics(work / METRICS_FILE) if self._active else set()
        self._metrics = (work / METRICS_FILE).open("a") if self._active else None
        self._alerts = (work / ALERTS_FILE).open("a") if self._active else None
        self._pipes = _open_pipes() if self._active else None

    def say(self, line: str) -> None:
        """One line of progress for a person."""
        if not self._active:
            return
        print(line, flush=True)
        if self._pipes is not None:
            self._pipes.log.info(line)

    def metrics(self, step: int, values: dict[str, float], group: str = "train") -> None:
        """Metrics at one optimizer step; `group` tells apart the full run and the trials of a search.

        A job that goes on from a checkpoint takes the steps after it once more; what it said of them before is not said again.
        """
        new = {name: value for name, value in values.items() if (group, self.retake, step, name) not in self._told}
        if self._active and new:
            self._told |= {(group, self.retake, step, name) for name in new}
            row = {"step": step, "group": group, "time": round(time.time(), 3), "values": new}
            write_row(self._metrics, row | ({"retake": self.retake} if self.retake else {}))

    def alert(self, kind: str, text: str, *, step: int | None = None, details: Mapping[str, Any] | None = None) -> None:
        """Something a person should know today: it reaches Slack, Dagster and MLflow through whoever follows the job.

        Args:
            kind: one word for what it is, such as `loss_spike`.
            text: numbers, names of corpora and files; never what stands in a note.
            details: whatever a person may want to look up later, in numbers and names as well.
        """
        if not self._active:
            return
        print(f"ALERT {text}", flush=True)
        row = {"time": round(time.time(), 3), "kind": kind, "step": step, "text": text, "details": dict(details or {})}
        write_row(self._alerts, row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for file in (self._metrics, self._alerts):
            if file is not None:
                file.close()
        if self._pipes is not None:
            self._pipes.close()


def told_metrics(path: Path) -> set[tuple[str, int, int, str]]:
    """Group, retake, step and name of everything in a metrics file; half a line that a kill left at its end is cut off."""
    if not path.exists():
        return set()
    whole, newline, rest = path.read_bytes().rpartition(b"\n")
    if rest:
        os.truncate(path, len(whole) + len(newline))
    rows = [json.loads(line) for line in whole.splitlines()]
    return {(row["group"], row.get("retake", 0), row["step"], name) for row in rows for name in row["values"]}


def write_row(file: TextIO | None, row: Mapping[str, Any]) -> None:
    if file is not None:
        file.write(json.dumps(row) + "\n")
        file.flush()


def _open_pipes() -> Any | None:
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        return None
    # Only where Dagster started us; a bare GPU machine has no such package.
    from dagster_pipes import open_dagster_pipes

    return open_dagster_pipes()
