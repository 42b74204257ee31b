"""What a job writes down while it runs: metrics and a log."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lang1_assets.resources.launcher.jobs import LaunchError

CONFIG_FILE = "job.json"
LOG_FILE = "job.log"
METRICS_FILE = "metrics.jsonl"
ALERTS_FILE = "alerts.jsonl"
LOG_TAIL_LINES = 25
# What DeepSpeed's launcher prints first, and when a rank has ended.
ATTEMPT_STARTS = "WORLD INFO DICT"
KILLED_BY = re.compile(r"exits with return code = -(\d+)")
ERROR_LINE = re.compile(r"(?:\[rank\d+\]: )?((?:\w+\.)*\w*(?:Error|Exception)\b.*)")
LOST_PEER = re.compile(r"by peer|NCCL|gloo", re.IGNORECASE)

MetricRows = Sequence[Mapping[str, Any]]
OnMetrics = Callable[[MetricRows], None]


class MetricsReader:
    """Hands on whole new lines of a metrics file while a job writes it.

    How far it came is kept beside the file: rows that a job wrote while nobody followed it are handed on later, and none
    is handed on twice.

    Raises:
        LaunchError: what is kept is no number of bytes; from nothing else it can be told which rows were handed on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = path.with_name(path.name + ".read")
        self._offset = self._written = self._read_offset()

    def hand_on(self, on_metrics: OnMetrics) -> None:
        """Give the rows since the last time to `on_metrics`; they count as handed on when it returns.

        Raises:
            OSError: how far it came cannot be written down, which the next call tries again; the rows do not come again.
        """
        rows, offset = self._new_rows()
        if rows:
            on_metrics(rows)
            self._offset = offset
        if self._offset != self._written:
            write_whole(self._kept, str(self._offset))
            self._written = self._offset

    def _read_offset(self) -> int:
        if not self._kept.exists():
            return 0
        text = self._kept.read_text().strip()
        if not text.isdecimal():
            raise LaunchError(
                f"{self._kept}: expected the number of bytes of {self._path.name} whose rows were handed on, found {text[:20]!r}; "
                "write 0 to have all of them handed on again, or the file's size for none"
            )
        return int(text)

    def _new_rows(self) -> tuple[list[dict[str, Any]], int]:
        if not self._path.exists():
            return [], self._offset
        with open(self._path, "rb") as handle:
            handle.seek(self._offset)
            whole, newline, _ = handle.read().rpartition(b"\n")
        rows = [json.loads(line) for line in whole.splitlines() if line.strip()]
        return rows, self._offset + len(whole) + len(newline)


def write_whole(path: Path, text: str) -> None:
    """All of it or nothing, also where the disk is full or the process is killed."""
    beside = path.with_name(f".{path.name}.partial")
    with open(beside, "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    beside.rename(path)


def hand_on(readers: Sequence[tuple[MetricsReader, OnMetrics]]) -> None:
    for reader, receiver in readers:
        reader.hand_on(receiver)


def ignored(rows: MetricRows) -> None:
    """For a job that has no such rows."""


def last_line(path: Path) -> str:
    """What the job said last by itself; the launcher around it adds lines of its own, which begin with a bracket."""
    lines = [line for line in read_log(path) if line.strip() and not line.startswith(("[", "srun:", "slurmstepd"))]
    return lines[-1] if lines else "no reason given"


def reason_of(path: Path) -> str:
    """Why the job's last attempt ended: the signal that killed a rank, or the last error that is not about a lost peer."""
    lines = read_log(path)
    starts = [number for number, line in enumerate(lines) if ATTEMPT_STARTS in line]
    attempt = lines[starts[-1] :] if starts else lines
    if killed := [match.group(1) for line in attempt if (match := KILLED_BY.search(line))]:
        return f"a rank was killed by signal {killed[0]}" + (
            " (no memory left, unless by hand)" if killed[0] == "9" else ""
        )
    errors = [match.group(1) for line in attempt if (match := ERROR_LINE.match(line))]
    own = [error for error in errors if not LOST_PEER.search(error)]
    return (own or errors or ["no reason given"])[-1]


def tail(path: Path) -> str:
    return "\n".join(read_log(path)[-LOG_TAIL_LINES:])


def read_log(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines() if path.exists() else []
