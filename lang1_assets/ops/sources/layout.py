"""Which files, or which relations of a server, hold the tables of a kind of source, and which columns they have.

The tables and columns of each kind are written down once, in `source_tables` of `dbt_notes/dbt_project.yml`. What is found
goes to dbt as its variable `source_layout`. As a command, it prints dbt's variables for a folder:

    dbt build --vars "$(python -m lang1_assets.ops.sources.layout KIND FOLDER)"
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lang1_assets.ops.sources.headers import (
    HeaderError,
    end_problem,
    line_break_problem,
    parquet_types,
    read_header,
)

FORMATS = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}
FLATTENED_KINDS = ("fhir", "x12_835")
"""Kinds whose files are flattened into Parquet tables before SQL reads them."""
NUMBERED = r"([-_. ]?\d[-_.\d]*)?"
ANY_ENDING = ".*"
COLUMN_NAME = re.compile(r"[A-Za-z_]\w{0,40}")


class SourceError(ValueError):
    """A source cannot be read; the message lists every problem found."""


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """What a table of one kind of source must and may have."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    may_be_absent: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.required + self.optional


@dataclass(frozen=True, kw_only=True)
class SourceLayout:
    """What was found of a source."""

    parts: Mapping[str, Sequence[Mapping[str, Any]]]
    """Table -> its parts: `format` ('csv', 'parquet' or 'relation'), `files` or `relation`, `columns` as they are named."""
    absent: tuple[str, ...]
    """Tables that the source does without."""
    ignored_columns: Mapping[str, Sequence[str]]
    """Table -> columns that are there and that nothing reads."""

    @property
    def files(self) -> list[Path]:
        return [Path(file) for parts in self.parts.values() for part in parts for file in part.get("files", ())]


def source_tables(project: Path, kind: str) -> list[SourceTable]:
    """The tables of a kind, as the SQL project in the folder `project` declares them."""
    variables = yaml.safe_load((project / "dbt_project.yml").read_text())["vars"]
    return [
        SourceTable(
            name=name,
            required=tuple(table["required"]),
            optional=tuple(table.get("optional", ())),
            may_be_absent=bool(table.get("may_be_absent", False)),
        )
        for name, table in variables["source_tables"][kind].items()
    ]


def folder_layout(project: Path, kind: str, folder: Path) -> SourceLayout:
    """Find the tables of a kind in a folder and its subfolders.

    A table is a CSV file (RFC 4180, with a header), gzipped or not, or a Parquet file, named as the table without regard
    to case, with a number or date after it where there are several: `ADMISSIONS.csv.gz`, `hosp/admissions.csv`,
    `encounters-2013.parquet`. Notes of kind `tables` may have any ending: `notes_radiology.csv`. Columns may stand in any
    order, and others may stand beside them.

    Raises:
        SourceError: with every file or column that is missing. No problem repeats what stands in a file: a first line that is
            no header may be a patient's note.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder} is not a folder; set source.path to where the hospital's files are")
    tables = source_tables(project, kind)
    found = {table.name: _files_of(table, kind, folder) for table in tables}
    problems: list[str] = []
    parts = {}
    for table in tables:
        parts[table.name] = _parts(table, found[table.name], folder, problems)
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise SourceError(f"the records of kind '{kind}' in {folder} cannot be read:\n{listed}")
    return _layout(tables, parts)


def relation_layout(
    project: Path, kind: str, schema: str, relations: Mapping[str, Sequence[str]], quoted: Mapping[str, str]
) -> SourceLayout:
    """The same for a server's schema.

    Args:
        relations: relation as the server names it -> its columns.
        quoted: relation -> its name for SQL, quoted.

    Raises:
        SourceError: as for a folder.
    """
    tables = source_tables(project, kind)
    by_name = {name.lower(): name for name in relations}
    problems: list[str] = []
    parts: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        parts[table.name] = []
        name = by_name.get(table.name)
        if name is None and not table.may_be_absent:
            problems.append(f"{schema} has no table {table.name}; expected the columns {', '.join(table.required)}")
        elif name is not None:
            problems += _column_problems(f"{schema}.{name}", tuple(relations[name]), table)
            columns = list(relations[name])
            parts[table.name] = [{"format": "relation", "relation": quoted[name], "columns": columns}]
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise SourceError(f"the records of kind '{kind}' in schema {schema} cannot be read:\n{listed}")
    return _layout(tables, parts)


def _layout(tables: Sequence[SourceTable], parts: Mapping[str, list[dict[str, Any]]]) -> SourceLayout:
    ignored = {table.name: _ignored(table, parts[table.name]) for table in tables}
    return SourceLayout(
        parts={name: held for name, held in parts.items() if held},
        absent=tuple(table.name for table in tables if not parts[table.name]),
        ignored_columns={name: columns for name, columns in ignored.items() if columns},
    )


def _ignored(table: SourceTable, parts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of columns that nothing reads; what does not look like a name is only counted, for it may be a value."""
    unknown = {name for part in parts for name in part["columns"] if name.lower() not in table.columns}
    named = sorted(name for name in unknown if COLUMN_NAME.fullmatch(name))
    return [*named, f"({len(unknown) - len(named)} more)"] if len(named) < len(unknown) else named


def _files_of(table: SourceTable, kind: str, folder: Path) -> list[Path]:
    ending = ANY_ENDING if (kind, table.name) == ("tables", "notes") else NUMBERED
    pattern = re.compile(re.escape(table.name) + ending, re.IGNORECASE)
    return sorted(
        path
        for suffix in FORMATS
        for path in folder.rglob("*")
        if path.name.lower().endswith(suffix) and path.is_file() and pattern.fullmatch(path.name[: -len(suffix)])
    )


def _parts(table: SourceTable, files: Sequence[Path], folder: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Files with one header, and one type of each column, are read as one part; what is wrong is added to `problems`."""
    if not files and not table.may_be_absent:
        columns = ",".join(table.required)
        problems.append(f"{table.name}.csv (or .csv.gz, .parquet) is missing; expected the columns {columns}")
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for file in files:
        try:
            header = read_header(file)
        except HeaderError as problem:
            problems.append(f"{file.relative_to(folder)} {problem}")
            continue
        wrong = _column_problems(str(file.relative_to(folder)), header, table)
        if not wrong and (unreadable := end_problem(file) or line_break_problem(file)):
            wrong = [f"{file.relative_to(folder)} {unreadable}"]
        problems += wrong
        form = "parquet" if file.name.lower().endswith(".parquet") else "csv"
        # DuckDB casts all files of one scan to the types of the first, or fails.
        types = parquet_types(file) if form == "parquet" else ()
        groups.setdefault((form, header, types), []).append(str(file))
    if len({form for form, *_ in groups}) > 1:
        names = ", ".join(str(file.relative_to(folder)) for file in files)
        problems.append(f"{table.name} is there as CSV and as Parquet ({names}); leave one of the two")
    return [{"format": form, "files": held, "columns": list(header)} for (form, header, _), held in groups.items()]


def _column_problems(where: str, header: tuple[str, ...], table: SourceTable) -> list[str]:
    lower = [name.lower() for name in header]
    missing = [column for column in table.required if column not in lower]
    expected = f"(expected {','.join(table.required)})"
    if len(missing) == len(table.required):
        return [f"{where} has a first line that is not its header; write the column names there {expected}"]
    if missing:
        return [f"{where} misses column {', '.join(missing)} {expected}"]
    twice = sorted({column for column in table.columns if lower.count(column) > 1})
    if twice or len(set(lower)) < len(lower):
        return [f"{where} has {', '.join(twice) or 'a column'} twice; write each column once"]
    return []


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: python -m lang1_assets.ops.sources.layout KIND FOLDER")
    project = Path(__file__).parents[3] / "dbt_notes"
    try:
        found = folder_layout(project, sys.argv[1], Path(sys.argv[2]).resolve())
    except SourceError as error:
        sys.exit(str(error))
    print(json.dumps({"source_kind": sys.argv[1], "source_layout": found.parts}))


if __name__ == "__main__":
    main()
