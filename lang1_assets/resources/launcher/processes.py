"""A job as one DeepSpeed launcher on each machine, held by the process that started it (local and hostfile)."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lang1_assets.ops.training.openmp import SPIN_SHORTLY
from lang1_assets.ops.training.processes import signal_at_parent_s_death
from lang1_assets.resources.launcher.job_lock import held_by_job

LEASH = "lang1_assets.ops.training.leash"
INPUT_ERROR_EXIT_CODE = 65
"""Of a job that cannot work with what it was given (`ops.training.job` says so by the same number, and imports torch)."""
AFTER_GRACE_SECONDS = 10.0

# Measured on 2 CPU cores: keeping large blocks instead of returning them to the kernel makes a step 23 % faster.
CPU_ENVIRONMENT = {
    "DS_ACCELERATOR": "cpu",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
}


@dataclass(frozen=True, kw_only=True)
class Times:
    """How long processes have to end."""

    save_seconds: float
    """When they are asked to: the rest of the step, and saving."""
    grace_seconds: float
    """When there is nothing to save: a rank of theirs is gone."""


class HeldJob:
    """Processes of one job, each of which ends what it started when its standard input is closed (`ops.training.leash`)."""

    poll_seconds = 0.5
    outlives_dagster = False

    def __init__(self, processes: Mapping[str, subprocess.Popen[bytes]], times: Times) -> None:
        self._processes = dict(processes)
        self._times = times

    def exit_code(self) -> int | None:
        codes = {name: process.poll() for name, process in self._processes.items()}
        failed = [code for code in codes.values() if code]
        if failed:
            # The others wait for ranks that will not come.
            self._end(self._times.grace_seconds, in_a_hurry=True)
            ended = [process.returncode for process in self._processes.values()]
            return INPUT_ERROR_EXIT_CODE if INPUT_ERROR_EXIT_CODE in ended else failed[0]
        return None if None in codes.values() else 0

    def stop(self, grace_seconds: float) -> None:
        self._end(max(grace_seconds, self._times.save_seconds), in_a_hurry=False)

    def _end(self, seconds: float, *, in_a_hurry: bool) -> None:
        for process in self._processes.values():
            # A pipe may have nobody at its other end any more.
            with suppress(OSError, ValueError):
                assert process.stdin is not None
                if in_a_hurry:
                    process.stdin.write(b"!")
                process.stdin.close()
        deadline = time.monotonic() + seconds + AFTER_GRACE_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # The kernel, or the other end of the connection, ends what it held.
                process.kill()
                process.wait()

    def describe(self) -> str:
        return ", ".join(self._processes)


def start_held(
    commands: Mapping[str, Sequence[str]],
    environment: Mapping[str, str],
    log_file: Path,
    times: Times,
    on_wait: Callable[[], None] = lambda: None,
) -> HeldJob:
    """Start a command for each machine; what they print is added to the log.

    Args:
        commands: machine -> a leashed command, or `ssh` and one.
        on_wait: called when a job of the same folder, whose step was killed, still saves on this machine.

    Raises:
        LaunchError: it does not end.
    """
    processes: dict[str, subprocess.Popen[bytes]] = {}
    patience = times.save_seconds + times.grace_seconds + AFTER_GRACE_SECONDS
    with held_by_job(log_file.parent, patience, on_wait) as lock, open(log_file, "a") as log:
        for name, command in commands.items():
            processes[name] = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A signal to our own group is for us to pass on.
                start_new_session=True,
                # The leash has it for as long as ranks are there. Of another machine's ranks it knows nothing: `ssh` closes it.
                pass_fds=(lock,),
                preexec_fn=lambda: signal_at_parent_s_death(signal.SIGTERM),
            )
    return HeldJob(processes, times)


def launcher_command(
    module: str,
    config_file: Path,
    slots: Mapping[str, int],
    *,
    node: int = 0,
    master_address: str = "127.0.0.1",
    master_port: int | None = None,
) -> list[str]:
    """DeepSpeed's launcher of one machine: a process for each of its slots.

    Args:
        slots: ranks of each machine, in the order of their ranks.
        node: which of them this is.
        master_port: on the first machine; default: one that is free on this one.
    """
    world = base64.urlsafe_b64encode(json.dumps({name: list(range(n)) for name, n in slots.items()}).encode()).decode()
    return [
        sys.executable,
        "-m",
        "lang1_assets.ops.training.deepspeed_alone",
        f"--world_info={world}",
        f"--node_rank={node}",
        f"--master_addr={master_address}",
        f"--master_port={master_port or free_port()}",
        "--module",
        module,
        "--config",
        str(config_file),
    ]


def leashed(command: Sequence[str], times: Times) -> list[str]:
    """A launcher's command, held by the standard input of what is returned."""
    seconds = ["--save-seconds", str(times.save_seconds), "--grace-seconds", str(times.grace_seconds)]
    return [sys.executable, "-m", LEASH, *seconds, "--spare-leader", "--", *command]


def num_gpus() -> int:
    """GPUs of this machine, asked of the driver and not of torch, which would take seconds to import."""
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def cpu_environment(ranks: int, cores: int | None = None) -> dict[str, str]:
    """Variables of ranks that share a machine's cores."""
    cores = len(os.sched_getaffinity(0)) if cores is None else cores
    threads = str(max(1, cores // ranks))
    # All of them: with only the first, a limit of one thread for MKL that somebody left here kept every matrix product on one core.
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    return {**CPU_ENVIRONMENT, **SPIN_SHORTLY, **limits}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
