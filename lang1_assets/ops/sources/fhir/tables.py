"""The tables that a FHIR export becomes, and which resources go where."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lang1_assets.ops.sources.fhir import claims, conditions, encounters, notes, patients
from lang1_assets.ops.sources.fhir.elements import Row

EVERY_TABLE = ("source_line", "reject_reason")
TABLES: dict[str, tuple[str, ...]] = {
    "fhir_patients": (*patients.COLUMNS, *EVERY_TABLE),
    "fhir_encounters": (*encounters.COLUMNS, *EVERY_TABLE),
    "fhir_notes": (*notes.COLUMNS, *EVERY_TABLE),
    "fhir_conditions": (*conditions.COLUMNS, *EVERY_TABLE),
    "fhir_claims": (*claims.COLUMNS, *EVERY_TABLE),
}
TABLE_OF_TYPE = {
    "Patient": "fhir_patients",
    "Encounter": "fhir_encounters",
    "Condition": "fhir_conditions",
    **dict.fromkeys((*notes.RESOURCE_TYPES, "Binary"), "fhir_notes"),
    **dict.fromkeys((*claims.RESOURCE_TYPES, "Claim"), "fhir_claims"),
}

ROWS_PER_GROUP = 20_000
CHARACTERS_PER_GROUP = 1 << 25
"""Whichever of both a table reaches first is written, so memory is bounded by one line and one row group a table."""


def type_of_name(name: str) -> str | None:
    """'Patient' for `Patient.000.ndjson`, `1.Patient.ndjson`, `patient_2.ndjson.gz`."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((known for known in TABLE_OF_TYPE if known.lower() in words), None)


class TableWriter:
    """`TABLES` as Parquet files of a folder, row group by row group."""

    def __init__(self, folder: Path) -> None:
        self._schemas = {table: pa.schema([(name, pa.string()) for name in names]) for table, names in TABLES.items()}
        self._rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        self._num_characters = Counter[str]()
        self._stack = ExitStack()
        self._writers = {
            table: self._stack.enter_context(pq.ParquetWriter(folder / f"{table}.parquet", schema, compression="zstd"))
            for table, schema in self._schemas.items()
        }

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def add(self, table: str, row: Row) -> None:
        self._rows[table].append(row)
        self._num_characters[table] += sum(len(value) for value in row.values() if value)
        if len(self._rows[table]) >= ROWS_PER_GROUP or self._num_characters[table] >= CHARACTERS_PER_GROUP:
            self._write(table)

    def close(self) -> None:
        for table in TABLES:
            self._write(table)
        self._stack.close()

    def _write(self, table: str) -> None:
        self._writers[table].write_table(pa.Table.from_pylist(self._rows[table], self._schemas[table]))
        self._rows[table].clear()
        self._num_characters[table] = 0
