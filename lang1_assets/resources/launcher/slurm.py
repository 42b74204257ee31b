"""A job as a Slurm batch job: submitted, followed, canceled, and taken up again by its number."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lang1_assets.resources.launcher.files import LOG_FILE, write_whole
from lang1_assets.resources.launcher.jobs import LaunchError

JOB_ID_FILE = "slurm_job_id"
EXIT_CODE_FILE = "slurm_exit_code"
"""Written by the batch script when the job is over and will not be queued again."""
SCRIPT = Path(__file__).parents[3] / "infra" / "slurm" / "pretrain.sbatch"
COMMAND_SECONDS = 60
LOOKS_BEFORE_LOST = 4
STALE_SECONDS = 120
SECRET = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD)$")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of Slurm."""

    nodes: int
    gpus_per_node: int
    ranks_per_node: int
    cpus_per_rank: int
    time_limit: str
    save_seconds: int
    partition: str | None
    account: str | None
    qos: str | None
    options: Sequence[str]
    script: Path

    @property
    def num_ranks(self) -> int:
        return self.nodes * self.ranks_per_node


class SlurmJob:
    """A batch job; it outlives the process that submitted it, and `attach` finds it again."""

    outlives_dagster = True

    def __init__(self, job_id: str, work: Path, poll_seconds: float, save_seconds: float = 0.0) -> None:
        self.job_id = job_id
        self.poll_seconds = poll_seconds
        self._save_seconds = save_seconds
        self._work = work
        self._looks = 0

    def exit_code(self) -> int | None:
        if state_in_queue(self.job_id) is not None:
            self._looks = 0
            return None
        code = self._code_left_behind()
        if code is None and self._looks < LOOKS_BEFORE_LOST:
            # A shared file system may show the file a little later.
            self._looks += 1
            return None
        (self._work / JOB_ID_FILE).unlink(missing_ok=True)
        return 1 if code is None else code

    def stop(self, grace_seconds: float) -> None:
        """Ask every rank to save and end; cancel what is left after the grace, or the time that saving is given."""
        if state_in_queue(self.job_id) == "RUNNING":
            slurm("scancel", "--signal=TERM", self.job_id)
            self._wait_until_gone(max(grace_seconds, self._save_seconds))
        slurm("scancel", self.job_id)
        self._wait_until_gone(grace_seconds)
        (self._work / JOB_ID_FILE).unlink(missing_ok=True)

    def require_over(self) -> None:
        """Before a job of another kind writes into this one's folder.

        Raises:
            LaunchError: this one is running or waiting, or nobody can tell.
        """
        kept = self._work / JOB_ID_FILE
        if state_in_queue(self.job_id) is not None:
            raise LaunchError(
                f"Slurm job {self.job_id} may still write into {self._work}; set launch.kind slurm to follow it, or end it "
                f"with scancel and remove {kept}"
            )
        kept.unlink(missing_ok=True)

    def describe(self) -> str:
        ended = ended_as(self.job_id) if state_in_queue(self.job_id) is None else None
        return f"Slurm job {self.job_id}" + (f", which ended as {ended}" if ended else "")

    def _code_left_behind(self) -> int | None:
        left = self._work / EXIT_CODE_FILE
        return int(left.read_text()) if left.exists() and left.read_text().strip() else None

    def _wait_until_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and state_in_queue(self.job_id) is not None:
            time.sleep(min(1.0, self.poll_seconds))


def attach(work: Path, poll_seconds: float, save_seconds: float) -> SlurmJob | None:
    """The job that an earlier process submitted for this folder, running, waiting or over; None when there is none.

    Raises:
        LaunchError: its number cannot be read; it may still write into the folder.
    """
    kept = work / JOB_ID_FILE
    if not kept.exists():
        return None
    job_id = kept.read_text().strip()
    if not job_id.isdecimal():
        raise LaunchError(
            f"{kept}: expected the number of a Slurm job, found {job_id[:20]!r}; end what `squeue --me --name={job_name(work)}` "
            "lists with scancel, then remove the file"
        )
    return SlurmJob(job_id, work, poll_seconds, save_seconds)


def submit(
    module: str, config_file: Path, request: Request, environment: Mapping[str, str], poll_seconds: float
) -> SlurmJob:
    """Put the job into the queue.

    Raises:
        LaunchError: Slurm refused it, or is not there.
    """
    work = config_file.parent
    name = job_name(work)
    cancel_stale(name)
    (work / EXIT_CODE_FILE).unlink(missing_ok=True)
    options = sbatch_options(request, name, work / LOG_FILE)
    words = ["sbatch", "--parsable", *options, str(request.script), module, str(config_file)]
    kept = {key: value for key, value in environment.items() if not SECRET.search(key)}
    answer = slurm(*words, environment={**kept, "LANG1_PYTHON": sys.executable})
    job_id = answer.strip().splitlines()[-1].partition(";")[0]
    # Killed before, the next `submit` ends the job by its name.
    write_whole(work / JOB_ID_FILE, job_id)
    return SlurmJob(job_id, work, poll_seconds, request.save_seconds)


def cancel_stale(name: str) -> None:
    """End jobs of an earlier run for this folder whose settings have changed since: two must not write into one folder.

    Raises:
        LaunchError: one of them does not end.
    """
    deadline = time.monotonic() + STALE_SECONDS
    while stale := slurm("squeue", "--me", "--noheader", "--format=%i", f"--name={name}").split():
        if time.monotonic() > deadline:
            raise LaunchError(
                f"Slurm job {', '.join(stale)} of an earlier run does not end; cancel it, then run this again"
            )
        # The ranks are killed first: asked to end, they would save into the folder, and the next job would go on from that.
        for words in (["--signal=KILL", *(f"{job_id}.0" for job_id in stale)], stale):
            # What has ended meanwhile is an error to Slurm.
            with contextlib.suppress(LaunchError):
                slurm("scancel", *words)
        time.sleep(1)


def sbatch_options(request: Request, name: str, log_file: Path) -> list[str]:
    named = {"partition": request.partition, "account": request.account, "qos": request.qos}
    return [
        f"--job-name={name}",
        f"--nodes={request.nodes}",
        f"--ntasks-per-node={request.ranks_per_node}",
        f"--cpus-per-task={request.cpus_per_rank}",
        *([f"--gpus-per-node={request.gpus_per_node}"] if request.gpus_per_node else []),
        f"--time={request.time_limit}",
        # To the batch script, which has the ranks save and puts the job into the queue again.
        f"--signal=B:USR1@{request.save_seconds}",
        "--requeue",
        "--open-mode=append",
        f"--output={log_file}",
        f"--chdir={Path.cwd()}",
        *(f"--{option}={value}" for option, value in named.items() if value is not None),
        *request.options,
    ]


def job_name(work: Path) -> str:
    """One name a folder."""
    return f"lang1-{hashlib.sha256(str(work.resolve()).encode()).hexdigest()[:12]}"


def state_in_queue(job_id: str) -> str | None:
    """As `squeue` says it, such as PENDING or RUNNING; None when the job is over.

    A controller that does not answer says nothing about the job: UNKNOWN, and the next look may tell.
    """
    try:
        listed = slurm("squeue", "--noheader", "--format=%T", f"--jobs={job_id}").split()
    except LaunchError as error:
        return None if "Invalid job id" in str(error) else "UNKNOWN"
    return listed[0] if listed else None


def ended_as(job_id: str) -> str | None:
    """What the accounting says, such as OUT_OF_MEMORY; None where there is no accounting."""
    try:
        states = slurm("sacct", "--allocations", "--noheader", "--parsable2", "--format=State", f"--jobs={job_id}")
    except LaunchError:
        return None
    return states.splitlines()[-1].split()[0] if states.strip() else None


def slurm(*words: str, environment: Mapping[str, str] | None = None) -> str:
    """What a command of Slurm prints.

    Raises:
        LaunchError: with what it said.
    """
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS, env=environment)
    except FileNotFoundError:
        raise LaunchError(
            f"launch.kind slurm: there is no '{words[0]}' on this machine; start Dagster where jobs are submitted"
        ) from None
    except subprocess.TimeoutExpired:
        raise LaunchError(f"{words[0]} did not answer within {COMMAND_SECONDS} s; is slurmctld running?") from None
    if done.returncode:
        raise LaunchError(f"{words[0]}: {done.stderr.strip() or f'ended with code {done.returncode}'}")
    return done.stdout
