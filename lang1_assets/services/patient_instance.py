"""Dagster on Kubernetes, whose chart names the storages itself and leaves no room for `PatientPostgresStorage`.

It does take a class of the instance (`additionalInstanceConfig` in `infra/kubernetes/values.yaml`), which goes with each run and
step to its pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage

from lang1_assets.services.patient_storage import PatientEventLog, PatientRunStorage


class PatientInstance(DagsterInstance):
    """Waits for PostgreSQL, and writes once more what the server did not confirm."""

    def __init__(self, *, run_storage: Any, event_storage: Any, **rest: Any) -> None:
        # Of the chart's two; another storage stays what it is.
        if isinstance(run_storage, PostgresRunStorage):
            run_storage = PatientRunStorage(run_storage.postgres_url, inst_data=run_storage.inst_data)
        if isinstance(event_storage, PostgresEventLogStorage):
            event_storage = PatientEventLog(event_storage.postgres_url, inst_data=event_storage.inst_data)
        super().__init__(run_storage=run_storage, event_storage=event_storage, **rest)

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        """Nothing beside what every instance has."""
        return {}

    @staticmethod
    def config_defaults(base_dir: str) -> Mapping[str, Any]:
        return InstanceRef.config_defaults(base_dir)
