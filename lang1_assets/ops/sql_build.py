"""Runs the SQL project on one folder of exports, in a warehouse of its own, without Dagster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TAIL_LINES = 15


class SqlBuildError(ValueError):
    """dbt could not build the tables of an export; the message holds the end of its log."""


def build_tables(project: Path, exports: Path, tables: Path, *, evaluate_only: bool, seed: int) -> None:
    """Staging and cohorts of `exports` as Parquet files in `tables`.

    Args:
        evaluate_only: put every labelled note into the split `landed` instead of dividing them.
    """
    tables.mkdir(parents=True, exist_ok=True)
    variables = {
        "exports_path": str(exports),
        "parquet_path": str(tables),
        "evaluate_only": evaluate_only,
        "split_seed": seed,
    }
    # Apart from the main warehouse: DuckDB takes one writer, and this one is thrown away.
    environment = {**os.environ, "LANG1_DUCKDB_PATH": str(tables / "warehouse.duckdb")}
    command = [str(Path(sys.executable).with_name("dbt")), "build", "--exclude-resource-type", "unit_test"]
    where = ["--project-dir", str(project), "--profiles-dir", str(project), "--target-path", str(tables / "target")]
    log = ["--log-path", str(tables / "logs"), "--vars", json.dumps(variables)]
    done = subprocess.run([*command, *where, *log], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-TAIL_LINES:])
        raise SqlBuildError(f"{exports}: dbt build ended with code {done.returncode}:\n{tail}")
