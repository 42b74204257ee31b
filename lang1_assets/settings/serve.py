"""The services of `lang1 serve` (M66): every one of them listens on 127.0.0.1 alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from lang1_assets.settings.section import PositiveInt, Section

Port = Annotated[int, Field(ge=1024, le=65_535)]


class Serve(Section):
    """Where the services are on this machine. Nothing that a run makes depends on it."""

    dagster_port: Port = 3000
    mlflow_port: Port = 5000
    postgres_port: Port = 5433
    code_server_port: Port = 4266
    dask_port: Port = 8786
    dask_status_port: Port = 8787
    """The scheduler's state; those of the workers follow it."""
    num_dask_workers: PositiveInt = 2
    postgres_programs: Path | None = None
    """Folder with `initdb` and `postgres`; default: Debian's, or where PATH finds them."""
    postgres_folder: Path | None = None
    """Where PostgreSQL keeps its data; default $LANG1_HOME/serve/postgres. Unused when LANG1_POSTGRES_URL names a server."""
    start_seconds: PositiveInt = 300
    """How long a service may take until it answers for the first time; then it is started again."""
    check_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Between two looks at whether a service answers; after three without an answer it is started again."""
    longest_pause_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Between two starts of a service that dies again and again: pauses double up to this."""

    @property
    def dask_worker_ports(self) -> tuple[int, ...]:
        first = self.dask_status_port + 1
        return tuple(range(first, first + self.num_dask_workers))

    @model_validator(mode="after")
    def _ports_differ(self) -> Serve:
        ports = [
            self.dagster_port,
            self.mlflow_port,
            self.postgres_port,
            self.code_server_port,
            self.dask_port,
            self.dask_status_port,
            *self.dask_worker_ports,
        ]
        twice = sorted({port for port in ports if ports.count(port) > 1})
        if twice:
            raise ValueError(
                f"port {twice[0]} is given to two services; the workers of Dask use those after dask_status_port"
            )
        return self
