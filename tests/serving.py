"""`lang1 serve` of a small profile over a real PostgreSQL, for tests and for faults."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from lang1_assets.services.lineup import Places
from tests.services.test_supervisor import free_port, until

MINI = Path(__file__).parent / "profiles" / "mini.yaml"
NAMES = {"postgres", "code_server", "mlflow", "dask_scheduler", "webserver", "daemon", "dask_worker_0"}
LAUNCH = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = "{ runsOrError { ... on Runs { results { runId status rootRunId tags { key value } } } } }"
PATIENCE_SECONDS = 400.0
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Served:
    """A home with its services."""

    places: Places
    port: int
    mlflow_port: int
    supervisor: subprocess.Popen[bytes]

    def rows(self) -> dict[str, Any]:
        path = self.places.processes
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def all_answer(self) -> bool:
        assert self.supervisor.poll() is None, self.log("supervisor")
        rows = self.rows()
        return set(rows) == NAMES and all(row["answers"] for row in rows.values())

    def log(self, name: str) -> str:
        return (self.places.logs / f"{name}.log").read_text()

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        address, headers = f"http://127.0.0.1:{self.port}/graphql", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=60) as answer:
            return dict(json.load(answer)["data"])

    def launch(self, job: str, *assets: str, tags: Mapping[str, str] | None = None, in_process: bool = False) -> str:
        """Start a run as the UI does; its id."""
        selector = {
            "repositoryLocationName": "lang1",
            "repositoryName": "__repository__",
            "pipelineName": job,
            **({"assetSelection": [{"path": [asset]} for asset in assets]} if assets else {}),
        }
        asked = {
            "selector": selector,
            "mode": "default",
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]},
            **({"runConfigData": {"execution": {"config": {"in_process": {}}}}} if in_process else {}),
        }
        made = self.ask(LAUNCH, p=asked)["launchPipelineExecution"]
        assert made["__typename"] == "LaunchRunSuccess", made
        return str(made["run"]["runId"])

    def runs(self) -> list[dict[str, Any]]:
        return list(self.ask(RUNS)["runsOrError"]["results"])

    def status(self, run_id: str) -> str:
        return str(next(run["status"] for run in self.runs() if run["runId"] == run_id))

    def processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if belongs_to(process, self.places.home)]


def belongs_to(process: psutil.Process, home: Path) -> bool:
    """Whether it got this home from its environment, or works in it (PostgreSQL is told nothing else)."""
    try:
        return process.environ().get("LANG1_HOME") == str(home) or process.cwd().startswith(str(home))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@contextmanager
def serving(folder: Path, base: Path = MINI, more: Mapping[str, str] = NOTHING) -> Iterator[Served]:
    """Services of a home in `folder` on free ports, all of them answering; gone afterwards."""
    if os.getuid() == 0:
        # PostgreSQL runs as another user then, who has to pass.
        for parent in (folder, *folder.parents[:3]):
            parent.chmod(parent.stat().st_mode | 0o011)
    ports = {
        f"{name}_port": free_port() for name in ("dagster", "mlflow", "postgres", "code_server", "dask", "dask_status")
    }
    serve = {**ports, "dask_status_port": free_pair(), "num_dask_workers": 1}
    profile = folder / "profile.yaml"
    profile.write_text(f"extends: {base}\nname: {base.stem}\nserve: {json.dumps(serve)}\n")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("LANG1_", "DAGSTER_", "MLFLOW_"))}
    places = Places(home=folder / "home")
    environment = {**kept, **more, "LANG1_HOME": str(places.home), "LANG1_PROFILE": str(profile)}
    command = [sys.executable, "-m", "lang1_assets.cli", "serve"]
    started = Served(
        places=places,
        port=serve["dagster_port"],
        mlflow_port=serve["mlflow_port"],
        supervisor=subprocess.Popen(command, env=environment),
    )
    try:
        until(started.all_answer, "all services to answer", PATIENCE_SECONDS)
        yield started
    finally:
        started.supervisor.send_signal(signal.SIGTERM)
        started.supervisor.wait(PATIENCE_SECONDS)


def free_pair() -> int:
    """The first of two free ports in a row."""
    return until(lambda: port if is_free((port := free_port()) + 1) else None, "two ports in a row")


def is_free(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0
