"""Dagster's run launcher of `lang1 serve`: a process a run, which outlives the daemon and the code server.

Dagster's own default has the code server start runs as its children: when that server is killed they go on unseen, nobody can
stop them, and a run whose worker then dies stays STARTED for ever. Here run monitoring learns within a minute that a worker
is gone, and run retries start the run again from what it had finished.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from lang1_assets.operation.dead_runs import PROCESS_TAG, process_of
from lang1_assets.ops.process_identity import ProcessIdentity, identify, is_gone
from lang1_assets.services import run_workers


class ProcessRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Starts the worker of a run as a process group of its own on this machine."""

    def __init__(self, folder: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._folder = Path(folder)
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {"folder": dg.Field(dg.StringSource, description="Where workers write down which process they are")}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(folder=config_value["folder"], inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        run, origin = context.dagster_run, context.job_code_origin
        if origin is None:
            raise dg.DagsterInvariantViolationError(f"run {run.run_id} does not say where its code is")
        run_workers.clear_away(self._folder)
        arguments = ExecuteRunArgs(job_origin=origin, run_id=run.run_id, instance_ref=self._instance.get_ref())
        command = run_workers.command_of(self._folder, run.run_id, arguments.get_command_args())
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        self._instance.add_run_tags(run.run_id, {PROCESS_TAG: str(identify(process.pid) or "")})
        threading.Thread(target=self._wait_for, args=(process, run.run_id), daemon=True).start()
        self._instance.report_engine_event(f"Started run worker, pid {process.pid}", run, cls=self.__class__)

    def _wait_for(self, process: subprocess.Popen[bytes], run_id: str) -> None:
        """Collect a worker when it ends: a dead child that nobody asks after keeps its number. Say so if its run never began."""
        status = process.wait()
        run = self._instance.get_run_by_id(run_id)
        # Run monitoring asks after runs that have begun; of one that has not, it waits for the time to start to be over.
        if run is not None and run.status == dg.DagsterRunStatus.STARTING:
            text = f"Its worker, pid {process.pid}, ended before the run began (exit status {status})."
            self._instance.report_run_failed(run, text)

    def terminate(self, run_id: str) -> bool:
        """Ask the worker to end: its steps stop, training saves, the run becomes CANCELED."""
        run = self._instance.get_run_by_id(run_id)
        worker = run_workers.find(self._folder, run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if worker is None or not worker.is_running or not asked_to_end(worker.pid):
            self._instance.report_run_canceled(run, "Its worker was gone already.")
            return False
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        worker = run_workers.find(self._folder, run.run_id)
        if worker is None:
            # A run from a terminal has its process in its tags; while that lives, nobody may say that it is dead.
            process = process_of(self._instance, run)
            if process is not None and not is_gone(process) and not was_replaced(process):
                return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(process.pid))
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "no worker was registered for it")
        if worker.is_running:
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(worker.pid))
        run_workers.end_rest(worker)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"its worker, pid {worker.pid}, is gone")


def asked_to_end(pid: int) -> bool:
    """False where it has ended in the meantime."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


def was_replaced(process: ProcessIdentity) -> bool:
    """Whether it ran in an earlier container of this one's name, with which it ended (`infra/compose.yaml`)."""
    here = identify(os.getpid())
    return here is not None and process.host == here.host and process.namespace != here.namespace
