"""Starts DeepSpeed training jobs from assets, and follows them: live progress, clean stop, nothing left behind.

Dagster's own subprocess client signals one process and never kills; DeepSpeed's launcher then leaves its ranks running. Here
a job gets a process group of its own: stopping the run in Dagster ends the whole group, politely first, and if the asset's
process dies the kernel ends the job.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.pipes.utils import PipesFileContextInjector, PipesFileMessageReader, open_pipes_session

CONFIG_FILE = "job.json"
LOG_FILE = "job.log"
METRICS_FILE = "metrics.jsonl"
POLL_SECONDS = 0.5
# Of a job that cannot work with what it was given (`ops.training.job` says so by the same number, and imports torch).
INPUT_ERROR_EXIT_CODE = 65
LOG_TAIL_LINES = 25

# Measured on 2 CPU cores: keeping large blocks instead of returning them to the kernel makes a step 23 % faster.
CPU_ENVIRONMENT = {
    "DS_ACCELERATOR": "cpu",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
}

MetricRows = Sequence[Mapping[str, Any]]


class TrainingLauncher(dg.ConfigurableResource):
    """Runs a job module on every GPU of this machine, or on CPU ranks over gloo when there is none."""

    grace_seconds: float = 20.0
    """Time a stopped job has to save before it is killed."""

    def run(
        self,
        context: dg.AssetExecutionContext,
        *,
        module: str,
        config: Mapping[str, Any],
        work: Path,
        num_cpu_ranks: int,
        on_metrics: Callable[[MetricRows], None],
    ) -> None:
        """Run a job to its end.

        Args:
            module: the job's module, such as `lang1_assets.ops.pretraining`.
            config: the job's settings; written to `work/job.json`.
            work: the job's folder; a job that was interrupted goes on from what lies there.
            on_metrics: given each new batch of rows of `metrics.jsonl` while the job runs.

        Raises:
            dagster.Failure: the job ended with an error; the end of its log is in the message.
        """
        (work / CONFIG_FILE).write_text(json.dumps(config, indent=1, default=str))
        reader = MetricsReader(work / METRICS_FILE)
        # Dagster marks this as preview and says so at every launch; the version is pinned in the lock file.
        warnings.filterwarnings("ignore", message=".*expected_writer_count.*")
        with open_pipes_session(
            context=context,
            context_injector=PipesFileContextInjector(str(work / "pipes_context.json")),
            message_reader=PipesFileMessageReader(str(work / "pipes_messages.jsonl")),
        ) as session:
            environment = {**os.environ, **session.get_bootstrap_env_vars(), **self._environment(num_cpu_ranks)}
            with open(work / LOG_FILE, "a") as log:
                process = subprocess.Popen(
                    self.command(module, work / CONFIG_FILE, num_ranks(num_cpu_ranks)),
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
                self._follow(process, reader, on_metrics)
        on_metrics(reader.new_rows())
        if process.returncode == INPUT_ERROR_EXIT_CODE:
            raise dg.Failure(f"{module}: {_last_line(work / LOG_FILE)}", allow_retries=False)
        if process.returncode != 0:
            raise dg.Failure(
                f"{module} ended with code {process.returncode}. Run it again to go on from its last checkpoint. "
                f"The end of {work / LOG_FILE}:\n{_tail(work / LOG_FILE)}"
            )

    @staticmethod
    def command(module: str, config_file: Path, ranks: int) -> list[str]:
        """DeepSpeed's per-node launcher. The multi-node runner on top of it leaves orphans when it is signaled."""
        world = base64.urlsafe_b64encode(json.dumps({"localhost": list(range(ranks))}).encode()).decode()
        launcher = [sys.executable, "-m", "deepspeed.launcher.launch", f"--world_info={world}"]
        address = ["--master_addr=127.0.0.1", f"--master_port={_free_port()}"]
        return [*launcher, *address, "--module", module, "--config", str(config_file)]

    def _environment(self, num_cpu_ranks: int) -> dict[str, str]:
        if num_gpus():
            return {}
        cores = len(os.sched_getaffinity(0))
        return {**CPU_ENVIRONMENT, "OMP_NUM_THREADS": str(max(1, cores // num_cpu_ranks))}

    def _follow(
        self, process: subprocess.Popen[bytes], reader: MetricsReader, on_metrics: Callable[[MetricRows], None]
    ) -> None:
        # A loop, not wait(): Dagster interrupts this thread with an exception, and wait() would hold it back.
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                on_metrics(reader.new_rows())
        except dg.DagsterExecutionInterruptedError as stopped:
            # As it is, Dagster's retry policy would take a person's stop for a crash and start the job again.
            raise dg.Failure(
                "stopped; run it again to go on from the last checkpoint", allow_retries=False
            ) from stopped
        finally:
            if process.poll() is None:
                self._stop(process)

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """End the whole process group: SIGTERM, time to save, SIGKILL."""
        group = process.pid
        _signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + self.grace_seconds
        while time.monotonic() < deadline and _group_members(group):
            process.poll()
            time.sleep(POLL_SECONDS)
        _signal_group(group, signal.SIGKILL)
        process.wait()


class MetricsReader:
    """Reads whole new lines of a metrics file while a job writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # What an earlier, interrupted run wrote has been handed on already.
        self._offset = path.stat().st_size if path.exists() else 0

    def new_rows(self) -> list[dict[str, Any]]:
        if not self._path.exists():
            return []
        with open(self._path, "rb") as handle:
            handle.seek(self._offset)
            whole, newline, _ = handle.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines() if line.strip()]


def num_gpus() -> int:
    """GPUs of this machine, asked of the driver and not of torch, which would take seconds to import."""
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def num_ranks(num_cpu_ranks: int) -> int:
    return num_gpus() or num_cpu_ranks


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent() -> None:
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _group_members(group: int) -> list[int]:
    members = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
        except ProcessLookupError:
            continue
    return members


def _last_line(path: Path) -> str:
    """What the job said last by itself; the launcher around it adds lines of its own, which begin with a bracket."""
    lines = [
        line for line in path.read_text(errors="replace").splitlines() if line.strip() and not line.startswith("[")
    ]
    return lines[-1] if lines else "no reason given"


def _tail(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])
