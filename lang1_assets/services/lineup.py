"""Every service of one home: commands, ports, environment, and the order in which they start."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lang1_assets.services import mlflow_server, postgres
from lang1_assets.services.certificates import kept_certificates
from lang1_assets.services.health import answers_grpc, answers_http, daemon_is_alive
from lang1_assets.services.passwords import kept_password
from lang1_assets.services.run_workers import FOLDER_VARIABLE
from lang1_assets.services.service import Service
from lang1_assets.settings.serve import Serve

CONFIGURATION = Path(__file__).parents[2] / "infra" / "dagster-server.yaml"
LOCATION_NAME = "lang1"
SAVED_BEFORE_SECONDS = 300
"""Beside `launch.save_seconds`, until Dagster calls a run that somebody stopped CANCELED: for its other steps to end."""
HOST = "127.0.0.1"
MLFLOW_CLIENT_VARIABLES = {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"}


@dataclass(frozen=True, kw_only=True)
class Places:
    """What lies where under `$LANG1_HOME/serve`, a folder of its owner alone."""

    home: Path

    @property
    def serve(self) -> Path:
        return self.home / "serve"

    @property
    def dagster(self) -> Path:
        """DAGSTER_HOME of the services; that of `make demo` and `make ui` is another one."""
        return self.serve / "dagster"

    @property
    def logs(self) -> Path:
        return self.serve / "logs"

    @property
    def secrets(self) -> Path:
        return self.serve / "secrets"

    @property
    def run_workers(self) -> Path:
        return self.serve / "runs"

    @property
    def dask(self) -> Path:
        """What workers put on disk for want of memory: notes."""
        return self.serve / "dask"

    @property
    def workspace(self) -> Path:
        return self.serve / "workspace.yaml"

    @property
    def processes(self) -> Path:
        return self.serve / "processes.json"

    @property
    def lock(self) -> Path:
        return self.serve / "lock"


def prepare(places: Places, serve: Serve, save_seconds: int) -> None:
    """Folders and configuration as the services and the profile want them; what the services keep stays."""
    for folder in (places.dagster, places.logs, places.secrets, places.run_workers, places.dask):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (places.dagster / "dagster.yaml").write_text(dagster_configuration(save_seconds))
    places.workspace.write_text(
        "load_from:\n"
        f"  - grpc_server: {{host: {HOST}, port: {serve.code_server_port}, location_name: {LOCATION_NAME}}}\n"
    )
    for name in ("artifacts", "mlflow/artifacts"):
        (places.home / name).mkdir(parents=True, exist_ok=True, mode=0o700)


def dagster_configuration(save_seconds: int) -> str:
    """Dagster's `dagster.yaml`, by which a run that was stopped is not called CANCELED while its training saves."""
    seconds = str(save_seconds + SAVED_BEFORE_SECONDS)
    return re.sub(r"(?<=\bcancel_timeout_seconds: )\d+", seconds, CONFIGURATION.read_text())


def all_services(places: Places, serve: Serve, environment: Mapping[str, str]) -> list[Service]:
    """In the order of their start.

    Raises:
        PostgresError: there is no PostgreSQL to be had.
    """
    databases, server = postgres_service(places, serve, environment)
    environment = shared_environment(places, serve, server, environment)
    return [
        *databases,
        code_server(serve, environment, after=[service.name for service in databases]),
        mlflow(places, serve, server, environment, after=[service.name for service in databases]),
        dask_scheduler(serve, environment),
        webserver(places, serve, environment),
        daemon(places, serve, environment),
        *(dask_worker(places, serve, environment, number) for number in range(serve.num_dask_workers)),
    ]


def postgres_service(
    places: Places, serve: Serve, environment: Mapping[str, str]
) -> tuple[list[Service], postgres.Server]:
    """A server of our own; no service where another server is named, whose databases are made here."""
    url = environment.get(postgres.URL_VARIABLE)
    if url:
        server = postgres.server_elsewhere(url, places.secrets)
        postgres.make_databases(server, {})
        return [], server
    folder = serve.postgres_folder or places.serve / "postgres"
    programs = postgres.find_programs(serve.postgres_programs, folder)
    cluster = postgres.Cluster(home=places.home, folder=folder, programs=programs, port=serve.postgres_port)
    server = postgres.own_server(serve.postgres_port, places.secrets)
    cluster.make(server.administrator_password)
    passwords = {user: kept_password(places.secrets / user) for user in postgres.DATABASES}
    service = Service(
        name="postgres",
        command=cluster.command,
        port=serve.postgres_port,
        check=cluster.check,
        environment={"PATH": environment.get("PATH", os.defpath), "LC_ALL": "C"},
        when_ready=lambda: postgres.make_databases(server, passwords),
        # Fast shutdown: whoever is connected is sent away.
        stop_signal=signal.SIGINT,
        stop_seconds=60,
        folder=str(cluster.data),
    )
    return [service], server


def shared_environment(
    places: Places, serve: Serve, server: postgres.Server, environment: Mapping[str, str]
) -> dict[str, str]:
    """What every service but PostgreSQL gets, and so every run: addresses, and files to find passwords in."""
    kept = {name: value for name, value in environment.items() if name != postgres.URL_VARIABLE}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}",
        "LANG1_HOME": str(places.home),
        "DAGSTER_HOME": str(places.dagster),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "LANG1_DAGSTER_DATABASE": server.url(postgres.DAGSTER),
        "PGPASSFILE": str(server.password_file),
        FOLDER_VARIABLE: str(places.run_workers),
        # By HTTP, which is asked again while the server or its database starts again: a metric that cannot be written would end
        # the training. Model versions go past the server, which takes none whose files lie outside its own store.
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{serve.mlflow_port}",
        "MLFLOW_REGISTRY_URI": server.url(postgres.MLFLOW),
        "LANG1_MLFLOW_URL": f"http://{HOST}:{serve.mlflow_port}",
        "LANG1_DAGSTER_URL": f"http://{HOST}:{serve.dagster_port}",
        "LANG1_DASK_SCHEDULER": f"tls://{HOST}:{serve.dask_port}",
        "DASK_TEMPORARY_DIRECTORY": str(places.dask),
        # Of workers that hold a task when they die: they may all be killed by somebody else.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
        **kept_certificates(places.secrets / "dask"),
    }


def code_server(serve: Serve, environment: Mapping[str, str], after: list[str]) -> Service:
    words = ["api", "grpc", "--module-name", "lang1_assets.definitions", "--attribute", "defs", "--host", HOST]
    words += ["--port", str(serve.code_server_port), "--location-name", LOCATION_NAME]
    return Service(
        name="code_server",
        command=python("dagster", *words, "--use-python-environment-entry-point"),
        port=serve.code_server_port,
        check=answers_grpc(serve.code_server_port),
        environment=environment,
        after=tuple(after),
    )


def mlflow(
    places: Places, serve: Serve, server: postgres.Server, environment: Mapping[str, str], after: list[str]
) -> Service:
    artifacts = places.home / "mlflow" / "artifacts"
    # Where others find it is nothing to itself.
    own = {name: text for name, text in environment.items() if name not in MLFLOW_CLIENT_VARIABLES}
    return Service(
        name="mlflow",
        command=mlflow_server.server_command(
            server.url(postgres.MLFLOW), artifacts, HOST, serve.mlflow_port, "--no-serve-artifacts"
        ),
        port=serve.mlflow_port,
        check=answers_http(f"http://{HOST}:{serve.mlflow_port}/health"),
        environment={**own, **mlflow_server.ENVIRONMENT},
        after=tuple(after),
    )


def webserver(places: Places, serve: Serve, environment: Mapping[str, str]) -> Service:
    # It alone keeps connections, and shows an error for each that a restart of PostgreSQL has broken: those older than a second are
    # not used again.
    words = ["-w", str(places.workspace), "-h", HOST, "-p", str(serve.dagster_port), "--db-pool-recycle", "1"]
    return Service(
        name="webserver",
        command=python("dagster_webserver", *words),
        port=serve.dagster_port,
        check=answers_http(f"http://{HOST}:{serve.dagster_port}/server_info"),
        environment=environment,
        after=("code_server",),
    )


def daemon(places: Places, serve: Serve, environment: Mapping[str, str]) -> Service:
    return Service(
        name="daemon",
        command=python("dagster._daemon", "run", "-w", str(places.workspace)),
        check=daemon_is_alive(f"http://{HOST}:{serve.dagster_port}"),
        environment=environment,
        # It is asked after through the web server; together they would also make the same tables at the first start.
        after=("code_server", "webserver"),
    )


def dask_scheduler(serve: Serve, environment: Mapping[str, str]) -> Service:
    words = ["scheduler", "--host", HOST, "--port", str(serve.dask_port), "--protocol", "tls", "--no-dashboard"]
    return Service(
        name="dask_scheduler",
        command=python("dask", *words, "--dashboard-address", f"{HOST}:{serve.dask_status_port}"),
        port=serve.dask_port,
        check=answers_http(f"http://{HOST}:{serve.dask_status_port}/health"),
        environment=environment,
    )


def dask_worker(places: Places, serve: Serve, environment: Mapping[str, str], number: int) -> Service:
    port = serve.dask_worker_ports[number]
    # The supervisor is its nanny: one process, one number.
    words = ["worker", f"tls://{HOST}:{serve.dask_port}", "--no-nanny", "--nthreads", "1", "--host", HOST]
    words += ["--name", f"worker-{number}", "--local-directory", str(places.dask), "--no-dashboard"]
    return Service(
        name=f"dask_worker_{number}",
        command=python("dask", *words, "--dashboard-address", f"{HOST}:{port}"),
        port=port,
        check=answers_http(f"http://{HOST}:{port}/health"),
        # One Polars thread: the workers are the parallelism.
        environment={**environment, "POLARS_MAX_THREADS": "1"},
        after=("dask_scheduler",),
    )


def python(module: str, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *words)
