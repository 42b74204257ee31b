"""A Slurm of one node and two processors: munged, slurmctld and slurmd of this machine, with everything in one folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
NODE = socket.gethostname()


def why_not() -> str | None:
    """Why no Slurm can be started here; None when one can."""
    missing = [name for name in DAEMONS if found(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: slurm-wlm)"
    return None if os.geteuid() == 0 else "slurmd wants root"


def found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Variables with which the commands of Slurm find the cluster."""
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o755)
    conf, munge_socket = folder / "slurm.conf", folder / "munge" / "socket"
    conf.write_text(configuration(folder, munge_socket))
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    environment = {"SLURM_CONF": str(conf)}
    munged = [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={key}",
        f"--socket={munge_socket}",
        f"--pid-file={folder}/munge/pid",
        f"--seed-file={folder}/munge/seed",
        f"--log-file={folder}/munge/log",
    ]
    commands = [munged, ["slurmctld", "-D", "-i", "-f", str(conf)], ["slurmd", "-D", "-N", NODE, "-f", str(conf)]]
    processes = []
    try:
        for command in commands:
            log = open(folder / f"{command[0]}.log", "w")  # noqa: SIM115
            path = found(command[0])
            assert path is not None
            processes.append(
                subprocess.Popen([path, *command[1:]], env={**os.environ, **environment}, stdout=log, stderr=log)
            )
            wait_for_file(munge_socket)
        wait_until_idle({**os.environ, **environment}, folder)
        yield environment
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def configuration(folder: Path, munge_socket: Path) -> str:
    host = socket.gethostname()
    control, daemon = free_port(), free_port()
    return f"""
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge_socket},cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
KillWait=5
MinJobAge=10
SchedulerParameters=sched_min_interval=100000,requeue_setup_env_fail
OverTimeLimit=0
NodeName={NODE} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes={NODE} Default=YES MaxTime=INFINITE State=UP OverSubscribe=YES:4
"""


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


def wait_until_idle(environment: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        state = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True)
        if "idle" in state.stdout:
            return
        logs = "\n".join(log.read_text()[-1500:] for log in folder.glob("*.log"))
        assert time.monotonic() < deadline, f"{state.stdout}{state.stderr}\n{logs}"
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
