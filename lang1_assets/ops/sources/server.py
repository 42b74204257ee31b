"""A PostgreSQL server that holds the hospital's tables: what is there, and fetching what SQL made of it.

Where the server is and who asks comes from the environment, and from nowhere else: LANG1_POSTGRES_HOST, _PORT, _USER,
_PASSWORD, _DATABASE, and _WORK_SCHEMA, the schema of the tables that are made (default `lang1`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import adbc_driver_postgresql.dbapi
import pyarrow as pa
import pyarrow.parquet as pq

from lang1_assets.ops.sources.layout import SourceError, SourceLayout, relation_layout

REASONS = {
    "does not exist": "there is no such database or user",
    "password": "the password is wrong",
    "authentication": "the server refuses this user",
}
COLUMNS_QUERY = """
select c.relname, a.attname, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = $1 and c.relkind in ('r', 'v', 'm', 'p', 'f')
order by c.relname, a.attnum
"""
STATE_QUERY = """
select c.relname, c.relkind, c.oid, s.n_tup_ins, s.n_tup_upd, s.n_tup_del
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join pg_stat_user_tables as s on s.relid = c.oid
where n.nspname = $1 and c.relkind in ('r', 'v', 'm', 'p', 'f')
order by c.relname
"""
WORK_SCHEMA_COMMENT = "made by lang1; its tables are replaced"
"""As `prepare_database` of the SQL project writes it."""
OWNER_QUERY = """
select
    (select count(*) from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid
        where n.nspname = $1 and c.relkind in ('r', 'v', 'm', 'p', 'f')),
    (select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = $1)
"""
VERSION_QUERY = "select cast(pg_current_snapshot() as text)"


def server_layout(project: Path, kind: str, schema: str) -> SourceLayout:
    """The tables of `kind` in a schema of the server.

    Raises:
        SourceError: the server cannot be reached, or tables or columns are missing.
    """
    check_work_schema(schema)
    rows = _query(COLUMNS_QUERY, schema)
    relations: dict[str, list[str]] = {}
    for name, column, _ in rows:
        relations.setdefault(name, []).append(column)
    return relation_layout(project, kind, schema, relations, {name: quoted for name, _, quoted in rows})


def check_work_schema(source_schema: str) -> None:
    """Tables are made, and replaced, only in a schema that is empty or was made for this before.

    Raises:
        SourceError: the work schema is the hospital's own, or holds somebody else's tables.
    """
    schema = work_schema()
    advice = "set LANG1_POSTGRES_WORK_SCHEMA to a schema of its own"
    if schema == source_schema:
        raise SourceError(
            f"the work schema is {schema}, where the hospital's tables are and would be replaced; {advice}"
        )
    ((num_relations, comment),) = _query(OWNER_QUERY, schema)
    if num_relations and comment != WORK_SCHEMA_COMMENT:
        raise SourceError(f"the work schema {schema} holds {num_relations} tables that were not made here; {advice}")


def work_schema() -> str:
    return _setting("WORK_SCHEMA", "lang1")


def schema_state(schema: str) -> list[list[str]]:
    """What changes when rows of the schema change: by this an up-to-date warehouse is known.

    Plain tables are told by the server's counters of inserted, updated and deleted rows. For views and foreign tables it
    keeps none: a schema with any of those counts as changed every time.
    """
    rows = [[str(value) for value in row] for row in _query(STATE_QUERY, schema)]
    if any(row[1] != "r" for row in rows):
        rows.append([str(_query(VERSION_QUERY)[0][0])])
    return rows


def fetch_tables(names: Sequence[str], folder: Path) -> None:
    """Write tables of the work schema as Parquet files, in batches that fit in memory whatever the table's size."""
    schema = work_schema()
    with closing(_connected()) as connection, closing(connection.cursor()) as cursor:
        for name in names:
            cursor.execute(f"select * from {_quoted(schema)}.{_quoted(name)}")
            _write(cursor.fetch_record_batch(), folder / f"{name}.parquet")


FORGOTTEN_TABLE = "forgotten_subjects"
"""As `forgotten_subjects` of the SQL project reads it."""
RELATION_KINDS = {"r": "table", "p": "table", "f": "foreign table", "v": "view", "m": "materialized view"}
WORK_RELATIONS_QUERY = """
select c.relname, c.relkind, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = $1 and c.relkind in ('r', 'v', 'm', 'p', 'f')
order by c.relname
"""


def put_forgotten(subjects: Sequence[str]) -> None:
    """The list of people who are forgotten as a table of the work schema, where SQL on the server finds it."""
    schema = _quoted(work_schema())
    with closing(_connected()) as connection, closing(connection.cursor()) as cursor:
        for statement in (
            f"create schema if not exists {schema}",
            f"comment on schema {schema} is '{WORK_SCHEMA_COMMENT}'",
            f"create table if not exists {schema}.{FORGOTTEN_TABLE} (subject_id text primary key)",
            f"delete from {schema}.{FORGOTTEN_TABLE}",
        ):
            cursor.execute(statement)
        for subject in subjects:
            cursor.execute(f"insert into {schema}.{FORGOTTEN_TABLE} values ($1)", (subject,))
        connection.commit()


def _quoted(name: str) -> str:
    """A name for SQL, which takes no names as parameters."""
    return '"' + name.replace('"', '""') + '"'


def drop_work_tables() -> list[str]:
    """Take away every table and view that was made in the work schema; the next build makes them again.

    Raises:
        SourceError: the schema was not made here.
    """
    schema = work_schema()
    ((_, comment),) = _query(OWNER_QUERY, schema)
    relations = _query(WORK_RELATIONS_QUERY, schema)
    if relations and comment != WORK_SCHEMA_COMMENT:
        raise SourceError(f"the work schema {schema} was not made here; nothing in it was removed")
    with closing(_connected()) as connection, closing(connection.cursor()) as cursor:
        for _, kind, quoted in relations:
            # Names of relations cannot be parameters: the server has quoted them.
            cursor.execute(f"drop {RELATION_KINDS[str(kind)]} if exists {quoted} cascade")
        connection.commit()
    return [str(name) for name, _, _ in relations]


def _write(batches: pa.RecordBatchReader, path: Path) -> None:
    beside = path.with_suffix(".partial")
    with pq.ParquetWriter(beside, batches.schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    beside.rename(path)


def _query(sql: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(_connected()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(sql, values or None)
        return [tuple(row) for row in cursor.fetchall()]


def _connected() -> Any:
    uri = (
        f"postgresql://{quote(_setting('USER', 'lang1'))}:{quote(_setting('PASSWORD', ''))}"
        f"@{_setting('HOST', 'localhost')}:{_setting('PORT', '5432')}/{quote(_setting('DATABASE', 'postgres'))}"
    )
    try:
        return adbc_driver_postgresql.dbapi.connect(uri)
    except adbc_driver_postgresql.dbapi.Error as error:
        # The driver's own message may hold the connection string: of it only what went wrong is said.
        reason = next((words for sign, words in REASONS.items() if sign in str(error)), "no server answers")
        raise SourceError(
            f"PostgreSQL at {_setting('HOST', 'localhost')}:{_setting('PORT', '5432')}, database "
            f"'{_setting('DATABASE', 'postgres')}', user '{_setting('USER', 'lang1')}': {reason}; set LANG1_POSTGRES_HOST, "
            "_PORT, _USER, _PASSWORD, _DATABASE"
        ) from None


def _setting(name: str, default: str) -> str:
    return os.environ.get(f"LANG1_POSTGRES_{name}", default)
