"""Runs the SQL project on one source, in a warehouse of its own, without Dagster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TAIL_LINES = 15


class SqlBuildError(ValueError):
    """dbt could not build the tables of a source; the message holds the end of its log."""


def build_tables(project: Path, tables: Path, variables: Mapping[str, Any]) -> None:
    """Staging and cohorts as Parquet files in `tables`.

    Args:
        variables: dbt's variables: the source and its layout, the choices of the cohorts.
    """
    tables.mkdir(parents=True, exist_ok=True)
    # Apart from the main warehouse: DuckDB takes one writer, and this one is thrown away.
    environment = {**os.environ, "LANG1_DUCKDB_PATH": str(tables / "warehouse.duckdb")}
    command = [str(Path(sys.executable).with_name("dbt")), "build", "--exclude-resource-type", "unit_test"]
    where = ["--project-dir", str(project), "--profiles-dir", str(project), "--target-path", str(tables / "target")]
    values = json.dumps({**variables, "parquet_path": str(tables)})
    done = subprocess.run(
        [*command, *where, "--log-path", str(tables / "logs"), "--vars", values],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
        raise SqlBuildError(f"dbt build ended with code {done.returncode}:\n{tail}")
