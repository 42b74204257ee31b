"""The same records on a PostgreSQL server and in files: the same tables come out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg2
import pytest
from polars.testing import assert_frame_equal

from lang1_assets.ops.sources import server
from lang1_assets.ops.sources.layout import SourceError
from tests.dbt_runs import PROJECT, Build, run_dbt, run_on_layout
from tests.fixtures_exports import BAD_ROWS, CLEAN_TABLES, write_tables
from tests.postgres_server import running_server, server_programs

pytestmark = pytest.mark.skipif(server_programs() is None, reason="no PostgreSQL server is installed; CI installs one")

TABLES = ["staged_notes", "rejects", "intake_counts", "patients", "encounters", "diagnoses", "task_inputs"]
COHORTS = ["cohort_attrition", "cohort_counts", "cohort_timing"] + [
    f"cohort_{task}" for task in ("readmission", "mortality", "length_of_stay", "comorbidity", "insurance_denial")
]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_server(tmp_path_factory.mktemp("postgres")) as variables:
        before = dict(os.environ)
        # The definitions, where another test has imported them, name a schema of their own.
        os.environ.update({**variables, "LANG1_POSTGRES_WORK_SCHEMA": "lang1"})
        yield
        os.environ.clear()
        os.environ.update(before)


def _connected() -> psycopg2.extensions.connection:
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD", "dbname": "DATABASE"}
    return psycopg2.connect(**{key: os.environ[f"LANG1_POSTGRES_{name}"] for key, name in names.items()})


def _load(folder: Path, schema: str) -> None:
    """Every table of the exports as a relation of text columns."""
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute(f"create schema {schema}")
        for file in sorted(folder.glob("*.csv")):
            table = file.stem.split("-")[0]
            header = file.open().readline().strip()
            columns = ", ".join(f"{name} text" for name in header.split(","))
            cursor.execute(f"create table if not exists {schema}.{table} ({columns})")
            with file.open() as rows:
                cursor.copy_expert(f"copy {schema}.{table} from stdin (format csv, header)", rows)


@pytest.fixture(scope="module")
def builds(environment: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Build, Build]:
    home = tmp_path_factory.mktemp("both")
    write_tables(home / "exports", {table: [*rows, *BAD_ROWS[table].values()] for table, rows in CLEAN_TABLES.items()})
    _load(home / "exports", "hospital")
    in_files = run_dbt(home / "exports", home / "files", "build")
    layout = server.server_layout(PROJECT, "tables", "hospital")
    only_models = ["build", "--exclude-resource-type", "unit_test"]
    on_server = run_on_layout(layout, home / "server", only_models, kind="tables", target="postgres")
    assert in_files.exit_code == 0, in_files.output
    assert on_server.exit_code == 0, on_server.output
    server.fetch_tables([*TABLES, *COHORTS], on_server.parquet)
    return in_files, on_server


@pytest.mark.parametrize("table", [*TABLES, *COHORTS])
def test_the_same_rows_come_out(builds: tuple[Build, Build], table: str) -> None:
    in_files, on_server = builds
    expected, found = in_files.table(table), on_server.table(table)
    assert expected.height > 0
    assert found.schema == expected.schema
    assert_frame_equal(found, expected, check_row_order=False)


def test_a_changed_row_is_noticed(builds: tuple[Build, Build]) -> None:
    before = server.schema_state("hospital")
    assert server.schema_state("hospital") == before
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute("update hospital.patients set sex = 'F' where subject_id = 'P2'")
        cursor.execute("select pg_stat_force_next_flush()")
    assert server.schema_state("hospital") != before


def test_missing_tables_and_columns_are_named(environment: None) -> None:
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute("create schema half; create table half.patients (subject_id text)")
    with pytest.raises(SourceError, match=r"half.patients misses column birth_date, sex(.|\n)*half has no table notes"):
        server.server_layout(PROJECT, "tables", "half")


def test_a_server_that_is_not_there_is_named_without_its_password(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG1_POSTGRES_PORT", "1")
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:1.*no server answers") as error:
        server.server_layout(PROJECT, "tables", "hospital")
    assert os.environ["LANG1_POSTGRES_PASSWORD"] not in str(error.value)


def test_the_hospital_s_own_schema_is_never_the_work_schema(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute("create schema theirs; create table theirs.patients (subject_id text)")
        cursor.execute("create schema ours_again; create table ours_again.patients (subject_id text)")
        cursor.execute(f"comment on schema ours_again is '{server.WORK_SCHEMA_COMMENT}'")
    monkeypatch.setenv("LANG1_POSTGRES_WORK_SCHEMA", "theirs")
    with pytest.raises(SourceError, match="where the hospital's tables are and would be replaced"):
        server.server_layout(PROJECT, "tables", "theirs")
    with pytest.raises(SourceError, match="holds 1 tables that were not made here"):
        server.check_work_schema("hospital")
    for free in ("ours_again", "not_there_yet"):
        monkeypatch.setenv("LANG1_POSTGRES_WORK_SCHEMA", free)
        server.check_work_schema("hospital")


@pytest.mark.parametrize(("name", "reason"), [("DATABASE", "no such database"), ("PASSWORD", "the password is wrong")])
def test_what_the_server_refuses_is_said(
    environment: None, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    monkeypatch.setenv(f"LANG1_POSTGRES_{name}", "not-this")
    with pytest.raises(SourceError, match=reason):
        server.server_layout(PROJECT, "tables", "hospital")


def test_large_results_arrive_in_batches(environment: None, tmp_path: Path) -> None:
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute("create schema if not exists lang1")
        cursor.execute(
            "create table lang1.many as select i as number, repeat('x', 1000) as words from generate_series(1, 50000) i"
        )
    server.fetch_tables(["many"], tmp_path)
    assert pl.read_parquet(tmp_path / "many.parquet")["number"].sum() == 50000 * 50001 // 2


def test_forgotten_people_leave_no_row_on_the_server(
    builds: tuple[Build, Build], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG1_POSTGRES_WORK_SCHEMA", "forgetful")
    server.put_forgotten(["P1", "Robert'); drop table students; --"])
    layout = server.server_layout(PROJECT, "tables", "hospital")
    only_models = ["run", "--select", "+intake_counts", "+staged_notes", "+patients"]
    build = run_on_layout(layout, tmp_path / "run", only_models, kind="tables", target="postgres")
    assert build.exit_code == 0, build.output
    server.fetch_tables(["staged_notes", "rejects", "patients", "intake_counts"], build.parquet)
    assert "P1" not in build.table("patients")["subject_id"]
    assert set(builds[1].table("patients")["subject_id"]) - set(build.table("patients")["subject_id"]) == {"P1"}
    assert build.rejects()["notes", "forgotten"] > 5
    counts = build.table("intake_counts")
    assert (counts["rows_in"] == counts["rows_out"] + counts["rows_rejected"]).all()
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute("""select table_name from information_schema.columns
            where table_schema = 'forgetful' and column_name = 'subject_id' and table_name <> 'forgotten_subjects'""")
        tables = [name for (name,) in cursor.fetchall()]
        assert len(tables) > 5
        for name in tables:
            cursor.execute(f"select count(*) from forgetful.{name} where subject_id = 'P1'")
            assert cursor.fetchone() == (0,), name


def test_only_what_was_made_here_is_dropped(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG1_POSTGRES_WORK_SCHEMA", "made")
    server.put_forgotten(["P1"])
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute("create table made.raw (note text); create view made.seen as select * from made.raw")
        cursor.execute("create schema not_ours; create table not_ours.patients (subject_id text)")
    assert server.drop_work_tables() == ["forgotten_subjects", "raw", "seen"]
    assert server.drop_work_tables() == []
    monkeypatch.setenv("LANG1_POSTGRES_WORK_SCHEMA", "not_ours")
    with pytest.raises(SourceError, match="was not made here; nothing in it was removed"):
        server.drop_work_tables()
    with _connected() as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from not_ours.patients")
