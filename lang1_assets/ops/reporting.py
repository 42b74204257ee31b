"""What a training job tells the outside while it runs: lines of progress and metrics by step.

Everything goes to files in the work folder, so the job runs by itself on a bare GPU machine; where a Dagster Pipes session
is open, the lines also appear in Dagster while the job runs. Nothing here ever holds note text.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Self

METRICS_FILE = "metrics.jsonl"


class Reporter:
    """Rank 0 reports; the other ranks' reporters are silent."""

    def __init__(self, work: Path, rank: int) -> None:
        self._active = rank == 0
        self._file = (work / METRICS_FILE).open("a") if self._active else None
        self._pipes = _open_pipes() if self._active else None

    def say(self, line: str) -> None:
        """One line of progress for a person."""
        if not self._active:
            return
        print(line, flush=True)
        if self._pipes is not None:
            self._pipes.log.info(line)

    def metrics(self, step: int, values: dict[str, float], group: str = "train") -> None:
        """Metrics at one optimizer step; `group` tells apart the full run and the trials of a search."""
        if self._file is not None:
            row: dict[str, Any] = {"step": step, "group": group, "time": round(time.time(), 3), "values": values}
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._pipes is not None:
            self._pipes.close()


def _open_pipes() -> Any | None:
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        return None
    # Only where Dagster started us; a bare GPU machine has no such package.
    from dagster_pipes import open_dagster_pipes

    return open_dagster_pipes()
