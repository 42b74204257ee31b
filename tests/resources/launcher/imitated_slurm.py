"""Stand-ins for Slurm's commands: one node called localhost, jobs as processes, everything in the folder $IMITATED_SLURM.

Each command is this file under the command's name. They keep to what the launcher and the batch script rely on: what is
printed and how a command ends, which processes a signal reaches, and what a job's processes find in their environment.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "srun", "sacct")
STATE = Path(os.environ["IMITATED_SLURM"]) if "IMITATED_SLURM" in os.environ else Path()


def split(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options, and what comes after them."""
    options: dict[str, str] = {}
    for place, word in enumerate(words):
        if not word.startswith("--"):
            return options, words[place:]
        name, _, value = word[2:].partition("=")
        options[name] = value
    return options, []


def sbatch(options: dict[str, str], words: list[str]) -> int:
    if options.get("partition", "main") != "main":
        print("sbatch: error: invalid partition specified: " + options["partition"], file=sys.stderr)
        return 1
    job_id = str(len(list(STATE.glob("*.job"))) + 1)
    (STATE / f"{job_id}.job").write_text(options["job-name"])
    environment = {
        **os.environ,
        "SLURM_JOB_ID": job_id,
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NTASKS": str(int(options["nodes"]) * int(options["ntasks-per-node"])),
    }
    with open(options["output"], "a") as log:
        supervisor = [sys.executable, __file__, "supervise", job_id, *words]
        subprocess.Popen(
            supervisor, env=environment, cwd=options["chdir"], stdout=log, stderr=log, start_new_session=True
        )
    (STATE / f"{job_id}.queued").touch()
    print(job_id)
    return 0


def supervise(job_id: str, *words: str) -> int:
    """slurmctld and slurmd for one job: runs the batch script, again when it was put back into the queue."""
    queued = STATE / f"{job_id}.queued"
    while True:
        script = subprocess.Popen(["bash", *words], start_new_session=True)
        (STATE / f"{job_id}.batch").write_text(str(script.pid))
        script.wait()
        requeued = STATE / f"{job_id}.requeue"
        if not requeued.exists():
            queued.unlink(missing_ok=True)
            return 0
        requeued.unlink()


def squeue(options: dict[str, str], words: list[str]) -> int:
    if "name" in options:
        for job in STATE.glob("*.job"):
            if job.read_text() == options["name"] and job.with_suffix(".queued").exists():
                print(job.stem)
        return 0
    if not (STATE / f"{options['jobs']}.queued").exists():
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        return 1
    print("RUNNING")
    return 0


def scancel(options: dict[str, str], words: list[str]) -> int:
    for job_id in words:
        tasks = STATE / f"{job_id}.tasks"
        pids = tasks.read_text().split() if tasks.exists() else []
        batch = (STATE / f"{job_id}.batch").read_text()
        number = signal.Signals["SIG" + options.get("signal", "KILL")]
        if "batch" in options:
            pids = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid), number)
        if "signal" not in options or "batch" in options:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(batch), number)
    return 0


def scontrol(options: dict[str, str], words: list[str]) -> int:
    assert words[0] == "requeue"
    (STATE / f"{words[1]}.requeue").touch()
    os.kill(int((STATE / f"{words[1]}.batch").read_text()), signal.SIGTERM)
    return 0


def srun(options: dict[str, str], words: list[str]) -> int:
    job_id, num_tasks = os.environ["SLURM_JOB_ID"], int(os.environ["SLURM_NTASKS"])
    tasks = []
    for rank in range(num_tasks):
        own = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_STEP_NODELIST": "localhost"}
        own["SLURM_STEP_TASKS_PER_NODE"] = str(num_tasks)
        tasks.append(subprocess.Popen(words, env={**os.environ, **own}, start_new_session=True))
    (STATE / f"{job_id}.tasks").write_text(" ".join(str(task.pid) for task in tasks))
    while any(task.poll() is None for task in tasks):
        if any(task.returncode for task in tasks if task.poll() is not None):
            # First SIGTERM, then SIGKILL, to every process of every task.
            for number in (signal.SIGTERM, signal.SIGKILL):
                for task in tasks:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(task.pid, number)
                time.sleep(0.5)
        time.sleep(0.05)
    return max(code if code >= 0 else 128 - code for code in (task.returncode for task in tasks))


def sacct(options: dict[str, str], words: list[str]) -> int:
    print("Slurm accounting storage is disabled", file=sys.stderr)
    return 1


def install(folder: Path) -> None:
    """Put the stand-ins into a folder for PATH."""
    for name in COMMANDS:
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} {name} "$@"\n')
        path.chmod(0o700)


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    if name == "supervise":
        sys.exit(supervise(*rest))
    sys.exit(globals()[name](*split(rest)))
