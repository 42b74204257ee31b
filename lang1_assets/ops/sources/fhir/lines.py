"""The files of a FHIR export, and their lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".ndjson", ".ndjson.gz")
MAXIMUM_LINE_BYTES = 1 << 27
"""A longer line is a reject, its rest never in memory; notes with scanned pages inside stay far below."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FhirError(ValueError):
    """The export as a whole cannot be read."""


class Line(NamedTuple):
    number: int
    """From 1, in the file."""
    offset: int
    """Bytes before it in the file, unzipped."""
    raw: bytes
    is_whole: bool


def export_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FhirError(f"{folder} is not a folder; set it to where the FHIR bulk export is")
    files = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(SUFFIXES) and path.is_file())
    if not files:
        raise FhirError(f"{folder}: no file there ends in {' or '.join(SUFFIXES)}; expected a FHIR bulk export")
    return files


def read_lines(path: Path) -> Iterator[Line]:
    """Lines that are not blank.

    Raises:
        FhirError: the file cannot be read to its end.
    """
    number, offset = 0, 0
    try:
        with opened(path) as content:
            while raw := content.readline(MAXIMUM_LINE_BYTES):
                number, rest = number + 1, rest_of_line(content, raw)
                text = raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw
                if text and not text.isspace():
                    yield Line(number, offset + len(raw) - len(text), text, rest == 0)
                offset += len(raw) + rest
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise FhirError(f"{path} is not a whole gzip file; export or copy it again") from None
    except OSError as error:
        raise FhirError(f"{path} cannot be read ({error.strerror}); make it readable") from None


def opened(path: Path) -> BufferedIOBase:
    return gzip.open(path) if is_zipped(path) else path.open("rb")


def rest_of_line(content: BufferedIOBase, raw: bytes) -> int:
    """Bytes passed over up to the end of a line that is too long."""
    num_bytes = 0
    while raw and not raw.endswith(b"\n"):
        raw = content.readline(MAXIMUM_LINE_BYTES)
        num_bytes += len(raw)
    return num_bytes


def is_zipped(path: Path) -> bool:
    """What its first bytes say counts, not its name: files are zipped and unzipped on their way."""
    with path.open("rb") as content:
        return content.read(2) == b"\x1f\x8b"
