"""The header of a table file, and whether its lines can be told apart, without reading its rows into memory."""

from __future__ import annotations

import csv
import gzip
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

MAXIMUM_HEADER_BYTES = 100_000
"""A file without line breaks is read no further than this."""
BLOCK_BYTES = 1 << 24
LINE_BREAKS = (b"\r\n", b"\n", b"\r")
"""Longest first."""


class HeaderError(ValueError):
    """What is wrong with a file's header; the message follows the file's name."""


def read_header(file: Path) -> tuple[str, ...]:
    """The column names of a CSV (`.csv`, `.csv.gz`) or Parquet file.

    Raises:
        HeaderError: the file cannot be opened, is empty, or has no header that could be read.
    """
    try:
        names = _parquet_names(file) if file.name.lower().endswith(".parquet") else _csv_names(file)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise HeaderError("is not a whole gzip file; export or copy it again") from None
    except pa.ArrowInvalid:
        raise HeaderError("is not a whole Parquet file; export or copy it again") from None
    except OSError as error:
        raise HeaderError(f"cannot be opened ({error.strerror}); make it readable") from None
    except UnicodeDecodeError:
        raise HeaderError("has a header that is not UTF-8 text; export it as CSV in UTF-8") from None
    if not names:
        raise HeaderError("is empty; a header line is required even when there are no rows")
    return names


def end_problem(file: Path) -> str | None:
    """A copy that was cut off ends inside a quoted field; DuckDB then drops its last rows without an error."""
    name = file.name.lower()
    if name.endswith(".parquet"):
        return None
    try:
        if not name.endswith(".gz") and _ends_with_line_break(file):
            return None
        with _opened(file) as content:
            num_quotes = sum(block.count(b'"') for block in _blocks(content))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return "is not a whole gzip file, so it was cut off; export or copy it again"
    return None if num_quotes % 2 == 0 else "ends inside a quoted field, so it was cut off; export or copy it again"


def line_break_problem(file: Path) -> str | None:
    """DuckDB stops at lines that end in different ways (LF, CRLF, CR) without saying where.

    Files without a carriage return, or with one before each line feed, are read at the speed of the disk (and of gzip). Only
    those with some are parsed (70 MB/s here): within quotes any line break may stand.
    """
    if file.name.lower().endswith(".parquet"):
        return None
    with _opened(file) as content:
        if _has_one_line_break(_blocks(content)):
            return None
    with _opened(file) as lines, _fields_of_any_length():
        number = _first_other_line_break(lines)
    return (
        None
        if number is None
        else f"ends line {number} in another way than its first line; write all line breaks alike"
    )


def parquet_types(file: Path) -> tuple[str, ...]:
    """The type of each column, of a whole Parquet file."""
    return tuple(str(column.type) for column in pq.read_schema(file))


def _has_one_line_break(blocks: Iterable[bytes]) -> bool:
    num_pairs = num_returns = num_feeds = 0
    ended_in_return = False
    for block in blocks:
        num_pairs += block.count(b"\r\n") + (ended_in_return and block.startswith(b"\n"))
        num_returns += block.count(b"\r")
        num_feeds += block.count(b"\n")
        ended_in_return = block.endswith(b"\r")
    return num_returns == 0 or num_pairs == num_returns == num_feeds


def _first_other_line_break(lines: Iterable[bytes]) -> int | None:
    """The number of the line, from 1, whose end outside of quotes is not that of the first."""
    last = b""

    def texts() -> Iterator[str]:
        nonlocal last
        for last in lines:
            yield last.decode("latin-1")

    rows = csv.reader(texts())
    first = None
    try:
        for _ in rows:
            ending = next((each for each in LINE_BREAKS if last.endswith(each)), first)
            first = first or ending
            if ending != first:
                return rows.line_num
    except csv.Error:
        # A carriage return outside of quotes.
        return rows.line_num
    return None


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet_names(file: Path) -> tuple[str, ...]:
    return tuple(pq.read_schema(file).names)


def _csv_names(file: Path) -> tuple[str, ...]:
    with _opened(file) as lines:
        first_line = lines.readline(MAXIMUM_HEADER_BYTES).decode("utf-8-sig")
    try:
        return tuple(name.strip() for name in next(csv.reader([first_line]), []))
    except csv.Error:
        raise HeaderError("has a first line that is not its header; write the column names there") from None


def _opened(file: Path) -> IO[bytes]:
    return gzip.open(file, "rb") if file.name.lower().endswith(".gz") else file.open("rb")  # type: ignore[return-value]


def _ends_with_line_break(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(-1, os.SEEK_END)
        return content.read(1) in b"\r\n"


def _blocks(content: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: content.read(BLOCK_BYTES), b"")
