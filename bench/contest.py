"""What the benches of the corpus share: contenders run one after another, each in processes of its own, several times over.

A bench module has `CONTENDERS`, name -> function of (input folder, output folder). `python bench/NAME.py --run CONTENDER IN OUT`
runs one; the parent watches the memory of all its processes. Contenders take turns, so that a busy machine is unfair to none.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psutil

RESULTS = Path(__file__).parent / "results"
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Measured:
    seconds: float
    """Of the work alone: libraries are imported before."""
    cpu_seconds: float
    """Of the process and everything it started, user and system, without the imports of the first process."""
    peak_bytes: int
    """Largest sum of resident memory over all processes, sampled; pages they share count more than once."""
    result: Any
    """What the contender returned, plain JSON."""


def timed(work: Callable[[], Any]) -> None:
    """In a contender's process: do the work and print what it took, for `alone`."""
    before, started = cpu_seconds(), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    used = {"cpu_seconds": cpu_seconds() - before, "cpu_seconds_before": before}
    print(json.dumps({"seconds": seconds, **used, "result": result}))


def cpu_seconds() -> float:
    """Of this process, of those it started that still run, and of those it has waited for."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    times = [process.cpu_times() for process in family(psutil.Process())]
    return waited.ru_utime + waited.ru_stime + sum(spent.user + spent.system for spent in times)


def alone(command: Sequence[str]) -> Measured:
    """Run a contender and follow its memory."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        seen = Seen()
        watcher = threading.Thread(target=watch, args=(process.pid, seen), daemon=True)
        watcher.start()
        output, errors = process.communicate()
        watcher.join()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{errors[-3000:]}")
    found = json.loads(output.splitlines()[-1])
    # Not every library waits for the processes that it started, and only those are in the process's own count.
    before = found.pop("cpu_seconds_before")
    sampled = sum(seen.cpu_seconds.values()) - before if len(seen.cpu_seconds) > 1 else 0.0
    return Measured(
        peak_bytes=seen.peak_bytes,
        seconds=found["seconds"],
        cpu_seconds=max(found["cpu_seconds"], sampled),
        result=found["result"],
    )


@dataclass
class Seen:
    """What the samples of a process and its descendants showed."""

    peak_bytes: int = 0
    cpu_seconds: dict[int, float] = field(default_factory=dict)
    """Of each process when it was last seen."""


def watch(pid: int, seen: Seen) -> None:
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            seen.peak_bytes = max(seen.peak_bytes, sum(look(member, seen) for member in family(process)))
            time.sleep(0.05)
    except psutil.NoSuchProcess:
        return


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def look(process: psutil.Process, seen: Seen) -> int:
    """Resident bytes; what the process has used of the CPU is remembered."""
    try:
        times = process.cpu_times()
        seen.cpu_seconds[process.pid] = times.user + times.system
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def contest(
    script: str, names: Sequence[str], repeats: int, arguments: Callable[[str, int], Sequence[str]]
) -> dict[str, list[Measured]]:
    """Every contender `repeats` times, in turns.

    Args:
        arguments: of a contender's name and the number of the turn, what its process is given.
    """
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    for turn in range(repeats):
        for name in names:
            measured = alone([sys.executable, script, "--run", name, *arguments(name, turn)])
            runs[name].append(measured)
            print(f"{name}: {measured.seconds:.2f} s, {measured.cpu_seconds:.2f} CPU s", flush=True)
    return runs


def median(runs: Sequence[Measured], field: str) -> float:
    return statistics.median(getattr(run, field) for run in runs)


def missing_peers(packages: Mapping[str, str]) -> dict[str, str]:
    """Contenders whose package is not installed -> how to install it."""
    missing = {}
    for contender, package in packages.items():
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            missing[contender] = f"pip install {package}, or all peers with pip install -e '.[bench]'"
    for contender, how in missing.items():
        print(f"{contender} is left out: {how}", flush=True)
    return missing


def rows_of(runs: Mapping[str, Sequence[Measured]], amount: float) -> dict[str, dict[str, float]]:
    """Of each contender: medians, speed in `amount` a second, and peak memory."""
    return {
        name: {
            "seconds": round(median(held, "seconds"), 3),
            "cpu_seconds": round(median(held, "cpu_seconds"), 3),
            "per_second": round(amount / median(held, "seconds"), 3),
            "peak_gib": round(max(run.peak_bytes for run in held) / GIB, 3),
            "all_seconds": [round(run.seconds, 3) for run in held],
        }
        for name, held in runs.items()
    }


def table(rows: Mapping[str, Mapping[str, Any]], ours: str, unit: str) -> list[str]:
    """A markdown table; the ratios are of ours to the contender: above 1 is ahead."""
    lines = [
        f"| contender | {unit} | ours is faster by | by CPU seconds | seconds | CPU seconds | peak memory, GiB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in rows.items():
        ratio = row["seconds"] / rows[ours]["seconds"]
        cpu_ratio = row["cpu_seconds"] / max(rows[ours]["cpu_seconds"], 1e-9)
        lines.append(
            f"| {name} | {row['per_second']:,.1f} | {ratio:.2f} | {cpu_ratio:.2f} | {row['seconds']:.2f} | "
            f"{row['cpu_seconds']:.2f} | {row['peak_gib']:.2f} |"
        )
    return lines


def machine() -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load averages {load}"


def write_results(name: str, result: dict[str, Any], lines: Sequence[str]) -> None:
    """`results/NAME.json` and `.md`; what is printed is the page."""
    dated = {"date": date.today().isoformat(), "machine": machine(), **result}
    page = "\n".join([f"# {name}", "", f"{dated['date']}, {dated['machine']}.", "", *lines]) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(dated, indent=2) + "\n")
    (RESULTS / f"{name}.md").write_text(page)
    print(page)
