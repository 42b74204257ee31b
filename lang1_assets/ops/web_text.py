"""Web text in the SlimPajama layout: `.jsonl.zst` or `.jsonl`, a line a document (paper 5.2.1, M04)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

DOCUMENTS_PER_FILE = 50_000
READ_BYTES = 1 << 20
UNKNOWN_SUBSET = "unknown"
DOCUMENT_COLUMNS = {"document_id": pl.String, "subset": pl.String, "text": pl.String}
REJECT_COLUMNS = {"source": pl.String, "row_id": pl.String, "reason": pl.String}


class WebTextError(ValueError):
    """No readable web text."""


@dataclass(frozen=True, kw_only=True)
class WebTextReport:
    rows_in: int
    """Lines that are not blank."""
    rows_kept: int
    rejects_by_reason: dict[str, int]
    documents_by_subset: dict[str, int]


def read_web_text(source: Path, output: Path) -> WebTextReport:
    """Documents as `output/documents/*.parquet` (document_id, subset, text), broken lines as `output/rejects.parquet`.

    Files are streamed in the order of their names; a document's id is its file and line, such as `train/chunk1/a.jsonl:17`.
    Rejects are `not_json`, `no_text` (no string there), `empty` and `not_unicode` (half a surrogate pair).

    Raises:
        WebTextError: there is no file, one is cut short or not zstd, or none of the lines is a document.
    """
    writer = DocumentWriter(output / "documents")
    rejects: list[dict[str, str]] = []
    subsets: Counter[str] = Counter()
    for where, line in numbered_lines(source):
        document = parse(line)
        if isinstance(document, str):
            rejects.append({"source": "web_text", "row_id": where, "reason": document})
        else:
            subsets[document["subset"]] += 1
            writer.add({"document_id": where, **document})
    writer.flush()
    if not subsets:
        raise WebTextError(f"{source}: none of {len(rejects)} lines is a document with a 'text' field")
    pl.DataFrame(rejects, schema=REJECT_COLUMNS).write_parquet(output / "rejects.parquet")
    return WebTextReport(
        rows_in=subsets.total() + len(rejects),
        rows_kept=subsets.total(),
        rejects_by_reason=dict(sorted(Counter(reject["reason"] for reject in rejects).items())),
        documents_by_subset=dict(sorted(subsets.items())),
    )


def numbered_lines(source: Path) -> Iterator[tuple[str, bytes]]:
    """("file:line", line) of every line that is not blank."""
    files = sorted([*source.glob("**/*.jsonl"), *source.glob("**/*.jsonl.zst")])
    if not files:
        raise WebTextError(f"{source}: no .jsonl or .jsonl.zst file there")
    for path in files:
        for number, line in enumerate(lines_of(path), start=1):
            if line.strip():
                yield f"{path.relative_to(source)}:{number}", line


def lines_of(path: Path) -> Iterator[bytes]:
    rest = b""
    for block in decompressed(path) if path.suffix == ".zst" else blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
    if rest:
        yield rest


def blocks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as handle:
        while block := handle.read(READ_BYTES):
            yield block


def decompressed(path: Path) -> Iterator[bytes]:
    """Every frame of a file: the library's own reader stops after the first, and takes a cut file for a whole one."""
    frame = None
    for block in blocks(path):
        while block:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            try:
                yield frame.decompress(block)
            except zstandard.ZstdError as error:
                raise WebTextError(f"{path}: broken compression ({error}); copy the file again") from None
            block = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise WebTextError(f"{path}: ends in the middle of its compression; copy the file again")


def parse(line: bytes) -> dict[str, str] | str:
    """A document's subset and text, or why the line is not one."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "not_json"
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str):
        return "no_text"
    if not text.strip():
        return "empty"
    subset = subset_of(row)
    try:
        f"{subset}{text}".encode()
    except UnicodeEncodeError:
        return "not_unicode"
    return {"subset": subset, "text": text}


def subset_of(row: dict[str, Any]) -> str:
    meta = row.get("meta")
    name = meta.get("redpajama_set_name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) else UNKNOWN_SUBSET


class DocumentWriter:
    """Parquet files of `DOCUMENTS_PER_FILE` documents: memory holds one at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._pending: list[dict[str, str]] = []
        self._num_files = 0

    def add(self, document: dict[str, str]) -> None:
        self._pending.append(document)
        if len(self._pending) == DOCUMENTS_PER_FILE:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            frame = pl.DataFrame(self._pending, schema=DOCUMENT_COLUMNS)
            frame.write_parquet(self._folder / f"part-{self._num_files:05d}.parquet")
            self._num_files += 1
            self._pending = []
