"""Whether a folder holds the hospital's exports: the files and the columns of `schemas.EXPORT_COLUMNS`."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

from lang1_assets.ops.schemas import EXPORT_COLUMNS

MAXIMUM_HEADER_BYTES = 100_000
"""A file without line breaks is read no further than this."""
COLUMN_NAME = re.compile(r"[A-Za-z_]\w{0,40}")


class ExportsError(ValueError):
    """Files or columns are missing; the message lists every problem."""


def check_exports(folder: Path) -> None:
    """Raise ExportsError with every problem that `export_problems` finds."""
    problems = export_problems(folder)
    if problems:
        raise ExportsError("the exports cannot be read:\n" + "\n".join(f"- {problem}" for problem in problems))


def export_problems(folder: Path) -> list[str]:
    """Every problem of the files' presence and headers, in the order of the tables; empty when there is none.

    Of each file the first line is read, and the rest only where its end looks cut off. What is wrong with single rows is
    found by staging, which keeps it as rejects. No problem repeats what stands in a file: a first line that is no header
    may be a patient's note.
    """
    if not folder.is_dir():
        return [f"{folder} is not a folder; set the exports folder to where the hospital's CSV files are"]
    return [problem for table, columns in EXPORT_COLUMNS.items() for problem in _table_problems(folder, table, columns)]


def export_files(folder: Path, table: str) -> list[Path]:
    """The CSV files of one table, by name: notes may come in several files (notes-2013.csv, ...), others in one."""
    return sorted(folder.glob("notes*.csv" if table == "notes" else f"{table}.csv"))


def _table_problems(folder: Path, table: str, columns: tuple[str, ...]) -> list[str]:
    files = export_files(folder, table)
    if not files:
        pattern = "notes*.csv" if table == "notes" else f"{table}.csv"
        return [f"{pattern} is missing in {folder}; expected a CSV file with the columns {','.join(columns)}"]
    return [problem for file in files if (problem := _header_problem(file, columns) or _end_problem(file))]


def _header_problem(file: Path, columns: tuple[str, ...]) -> str | None:
    try:
        found = _header(file)
    except OSError as error:
        return f"{file.name} cannot be opened ({error.strerror}); make it readable"
    except UnicodeDecodeError:
        return f"{file.name} has a header that is not UTF-8 text; export it as CSV in UTF-8"
    if found == columns:
        return None
    return f"{file.name} {_difference(found, columns)} (expected {','.join(columns)})"


def _end_problem(file: Path) -> str | None:
    """A copy that was cut off ends inside a quoted field; DuckDB then drops its last rows without an error."""
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        if content.read(1) in b"\r\n":
            return None
        content.seek(0)
        num_quotes = sum(block.count(b'"') for block in iter(lambda: content.read(1 << 24), b""))
    if num_quotes % 2 == 0:
        return None
    return f"{file.name} ends inside a quoted field, so it was cut off; export or copy it again"


def _header(file: Path) -> tuple[str, ...]:
    with file.open("rb") as lines:
        first_line = lines.readline(MAXIMUM_HEADER_BYTES).decode("utf-8-sig")
    return tuple(name.strip() for name in next(csv.reader([first_line]), []))


def _difference(found: tuple[str, ...], columns: tuple[str, ...]) -> str:
    if not found:
        return "is empty; a header line is required even when there are no rows"
    missing = [column for column in columns if column not in found]
    if len(missing) == len(columns):
        return "has a first line that is not its header; write the column names there, separated by commas"
    if missing:
        return f"misses column {', '.join(missing)}"
    unknown = [column for column in found if column not in columns]
    if unknown:
        named = [column for column in unknown if COLUMN_NAME.fullmatch(column)] or [f"({len(unknown)})"]
        return f"has unknown column {', '.join(named)}; leave it out of the export"
    if len(found) > len(columns):
        return "has a column twice; write each once"
    return "has its columns in another order; write them in the expected order"
