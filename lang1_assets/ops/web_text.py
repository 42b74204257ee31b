"""Web text in the SlimPajama layout: `.jsonl.zst` or `.jsonl`, a line a document (paper 5.2.1, M04)."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

DOCUMENTS_PER_FILE = 50_000
UNKNOWN_SUBSET = "unknown"


class WebTextError(ValueError):
    """No readable web text."""


@dataclass(frozen=True, kw_only=True)
class WebTextReport:
    rows_in: int
    rows_kept: int
    rejects_by_reason: dict[str, int]
    documents_by_subset: dict[str, int]


def read_web_text(source: Path, output: Path) -> WebTextReport:
    """Documents as `output/documents/*.parquet` (document_id, subset, text), broken lines as `output/rejects.parquet`.

    Raises:
        WebTextError: there is no file, or none of its lines is a document.
    """
    files = sorted([*source.glob("**/*.jsonl"), *source.glob("**/*.jsonl.zst")])
    if not files:
        raise WebTextError(f"{source}: no .jsonl or .jsonl.zst file there")
    (output / "documents").mkdir(parents=True, exist_ok=True)
    rejects: list[dict[str, str]] = []
    subsets: Counter[str] = Counter()
    rows_in, pending, parts = 0, [], 0
    for path in files:
        for number, line in enumerate(lines_of(path, rejects), start=1):
            rows_in += 1
            document = parse(line, f"{path.relative_to(source)}:{number}", rejects)
            if document is not None:
                pending.append(document)
                subsets[document["subset"]] += 1
            if len(pending) == DOCUMENTS_PER_FILE:
                parts = write_part(pending, output, parts)
                pending = []
    if pending:
        parts = write_part(pending, output, parts)
    if parts == 0:
        raise WebTextError(f"{source}: none of {rows_in} lines is a document with a 'text' field")
    pl.DataFrame(rejects, schema={"source": pl.String, "row_id": pl.String, "reason": pl.String}).write_parquet(
        output / "rejects.parquet"
    )
    by_reason = dict(Counter(reject["reason"] for reject in rejects))
    return WebTextReport(
        rows_in=rows_in,
        rows_kept=sum(subsets.values()),
        rejects_by_reason=by_reason,
        documents_by_subset=dict(sorted(subsets.items())),
    )


def lines_of(path: Path, rejects: list[dict[str, str]]) -> Iterator[bytes]:
    """Lines of a file; one that ends in the middle of its compression gives what was whole, and a reject."""
    with open(path, "rb") as handle:
        stream: Any = zstandard.ZstdDecompressor().stream_reader(handle) if path.suffix == ".zst" else handle
        reader = io.BufferedReader(stream) if path.suffix == ".zst" else stream
        try:
            yield from (line for line in reader if line.strip())
        except zstandard.ZstdError as error:
            raise WebTextError(f"{path}: broken compression ({error}); copy the file again") from None


def parse(line: bytes, where: str, rejects: list[dict[str, str]]) -> dict[str, str] | None:
    reason = None
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        reason = "not_json"
    else:
        text = row.get("text") if isinstance(row, dict) else None
        if not isinstance(text, str):
            reason = "no_text"
        elif not text.strip():
            reason = "empty"
    if reason is not None:
        rejects.append({"source": "web_text", "row_id": where, "reason": reason})
        return None
    meta = row.get("meta")
    subset = meta.get("redpajama_set_name", UNKNOWN_SUBSET) if isinstance(meta, dict) else UNKNOWN_SUBSET
    return {"document_id": where, "subset": str(subset), "text": text}


def write_part(documents: list[dict[str, str]], output: Path, number: int) -> int:
    pl.DataFrame(documents).write_parquet(output / "documents" / f"part-{number:05d}.parquet")
    return number + 1
