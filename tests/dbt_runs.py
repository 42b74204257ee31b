"""Runs of the SQL project for tests: one command on one source, and what it left behind."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lang1_assets.ops.sources.intake import flatten_source, source_layout
from lang1_assets.ops.sources.layout import SourceLayout

PROJECT = Path(__file__).parent.parent / "dbt_notes"


@dataclass(frozen=True, kw_only=True)
class Build:
    """What one dbt command left behind."""

    parquet: Path
    exit_code: int
    output: str
    results: dict[str, str]
    """Status of each node, by the last part of its id before the hash."""

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.parquet / f"{name}.parquet")

    def labels(self, task: str) -> dict[str, tuple[str, int]]:
        return {row["note_id"]: (row["split"], row["label"]) for row in self.table(f"cohort_{task}").to_dicts()}

    def rejects(self) -> dict[tuple[str, str], int]:
        counted = self.table("rejects").group_by("source", "reason").len()
        return {(source, reason): number for source, reason, number in counted.iter_rows()}

    def switched_off(self) -> dict[str, str]:
        """Task -> what the source lacks for it."""
        return {row["task"]: row["reason"] for row in self.table("task_inputs").to_dicts() if not row["is_supplied"]}


def run_dbt(
    source: Path,
    home: Path,
    *arguments: str,
    kind: str = "tables",
    remittances: Path | None = None,
    **variables: Any,
) -> Build:
    """Read `source` as `kind`, and run one dbt command in a warehouse of its own under `home`."""
    parquet, flattened = home / "parquet", home / "flattened"
    parquet.mkdir(parents=True)
    flattened.mkdir()
    flatten_source(kind, source, remittances, flattened)
    layout = source_layout(PROJECT, kind, source, flattened, remittances)
    claims = {"claims_kind": "x12_835" if remittances else "source"}
    return run_on_layout(layout, home, arguments, kind=kind, **claims, **variables)


def run_on_layout(
    layout: SourceLayout, home: Path, arguments: Sequence[str], *, kind: str, target: str = "duckdb", **variables: Any
) -> Build:
    parquet = home / "parquet"
    parquet.mkdir(parents=True, exist_ok=True)
    values = {"source_kind": kind, "source_layout": layout.parts, "parquet_path": str(parquet), **variables}
    words = [
        *(*arguments, "--no-use-colors", "--target", target),
        *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--vars", json.dumps(values)),
    ]
    environment = {
        "LANG1_DUCKDB_PATH": str(home / "warehouse.duckdb"),
        "LANG1_DUCKDB_MEMORY": "2GB",
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    exit_code, output = in_this_process(words, environment)
    results_file = home / "target" / "run_results.json"
    results = json.loads(results_file.read_text())["results"] if results_file.exists() else []
    return Build(
        parquet=parquet,
        exit_code=exit_code,
        output=output,
        results={result["unique_id"]: result["status"] for result in results},
    )


def in_this_process(words: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a dbt command; a process of its own would import dbt for longer than most commands take."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(PROJECT),
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        result = dbtRunner().invoke(words)
    # dbt leaves the file open for as long as its process lives.
    DuckDBConnectionManager.close_all_connections()
    return (0 if result.success else 2 if result.exception else 1), said.getvalue() + str(result.exception or "")
