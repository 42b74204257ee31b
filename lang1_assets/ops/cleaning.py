"""Cleaning by the rules of paper section 5.1, as vectorised expressions on Dask.

Narrative fields are joined; punctuation, spacing and formatting are standardised; non-ASCII and malformed characters and
errant whitespace go; notes under ten words or holding a placeholder are rejected, each with its reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from dask.distributed import Client, LocalCluster, as_completed

from lang1_assets.ops import schemas

REASONS = ("empty", "placeholder", "too_short")


class CleaningError(ValueError):
    """Input that cannot be cleaned, or rows that were lost."""


@dataclass(frozen=True, kw_only=True)
class CleaningRules:
    min_words: int = 10
    """A note with fewer words is rejected."""
    placeholders: tuple[str, ...] = ("<NA>", "NULL", "[pending]")
    """A note that is nothing but one of these is rejected; so is one that holds `<NA>` anywhere."""


@dataclass(frozen=True, kw_only=True)
class CleaningReport:
    rows_in: int
    rows_kept: int
    rejects_by_reason: dict[str, int]
    num_words: int
    megabytes_per_second: float
    """Text read, per second of the whole run, start of the workers included."""


def clean_frame(frame: pl.DataFrame, rules: CleaningRules) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `schemas.STAGED_NOTES` -> (`schemas.CLEAN_NOTES`, `schemas.REJECTS`), both in the order of the input."""
    raw = pl.concat_str([pl.col(name).fill_null("") for name in schemas.NARRATIVE_FIELDS], separator=" ")
    text = standardized(raw)
    prepared = frame.with_columns(text=text, raw=raw.str.strip_chars()).with_columns(
        num_words=num_words(pl.col("text")), reason=pl.lit(None, dtype=pl.String)
    )
    prepared = prepared.with_columns(reason=reject_reason(rules))
    kept = prepared.filter(pl.col("reason").is_null()).select(schemas.CLEAN_NOTES.names)
    rejects = prepared.filter(pl.col("reason").is_not_null()).select(
        source=pl.lit("notes"), row_id=pl.col("note_id"), reason="reason"
    )
    return kept, rejects


def standardized(text: pl.Expr) -> pl.Expr:
    """Plain ASCII, one kind of each punctuation mark, single spaces, no line breaks."""
    return (
        text.str.replace_all("[\u2018\u2019\u201a\u201b\u2032`\u00b4]", "'")
        .str.replace_all("[\u201c\u201d\u201e\u2033\u00ab\u00bb]", '"')
        .str.replace_all("[\u2010-\u2015\u2212]", "-")
        .str.replace_all("\u2026", "...")
        .str.replace_all("[\u2022\u25cf\u25aa\u00b7]", "-")
        .str.replace_all("\u00b5|\u03bc", "u")
        .str.replace_all("\u2265", ">=")
        .str.replace_all("\u2264", "<=")
        # Whatever is left outside printable ASCII is malformed here; a space, so that words do not run together.
        .str.replace_all(r"[^\x20-\x7E]+", " ")
        .str.replace_all(r"-{2,}", "-")
        .str.replace_all(r"_{2,}|={2,}|\*{2,}|#{2,}|~{2,}", " ")
        .str.replace_all(r"\.{4,}", "...")
        .str.replace_all(r"!{2,}", "!")
        .str.replace_all(r"\?{2,}", "?")
        .str.replace_all(r",{2,}", ",")
        .str.replace_all(r" +", " ")
        .str.replace_all(r" ([,.;:!?)])", "${1}")
        .str.strip_chars()
    )


def num_words(text: pl.Expr) -> pl.Expr:
    """Words of a text with single spaces."""
    return pl.when(text == "").then(0).otherwise(text.str.count_matches(" ", literal=True) + 1).cast(pl.Int32)


def reject_reason(rules: CleaningRules) -> pl.Expr:
    whole = [placeholder.lower() for placeholder in rules.placeholders]
    is_placeholder = pl.col("raw").str.to_lowercase().is_in(whole) | pl.col("raw").str.contains("<NA>", literal=True)
    return (
        pl.when(is_placeholder)
        .then(pl.lit("placeholder"))
        .when(pl.col("text") == "")
        .then(pl.lit("empty"))
        .when(pl.col("num_words") < rules.min_words)
        .then(pl.lit("too_short"))
    )


def clean_notes(
    inputs: Sequence[Path],
    output: Path,
    rules: CleaningRules,
    *,
    scheduler_address: str | None,
    num_workers: int,
    partition_rows: int,
    on_progress: Callable[[int, int], None],
) -> CleaningReport:
    """Clean Parquet files of `schemas.STAGED_NOTES` into `output/notes` and `output/rejects`.

    One Dask task a slice of rows: memory stays bounded, the part files are the same for any number of workers, and a task
    whose worker dies is done again elsewhere.

    Args:
        scheduler_address: a running Dask cluster; without one, `num_workers` processes on this machine.

    Raises:
        CleaningError: a file is not readable Parquet or lacks a column, or a row was lost.
    """
    for folder in ("notes", "rejects"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    slices = [part for path in inputs for part in file_slices(path, partition_rows)]
    num_bytes = sum(path.stat().st_size for path in inputs)
    started = time.monotonic()
    with connect(scheduler_address, num_workers) as client:
        futures = [
            client.submit(clean_slice, number, path, start, rows, output, rules, pure=False, retries=3)
            for number, (path, start, rows) in enumerate(slices)
        ]
        counts = []
        for done, future in enumerate(as_completed(futures), start=1):
            counts.append(future.result())
            on_progress(done, len(futures))
    return summarize(counts, time.monotonic() - started, num_bytes)


def connect(scheduler_address: str | None, num_workers: int) -> Client:
    if scheduler_address is not None:
        return Client(scheduler_address)
    cluster = LocalCluster(
        n_workers=num_workers,
        threads_per_worker=1,
        dashboard_address=None,
        # One Polars thread a worker: the workers are the parallelism.
        env={"POLARS_MAX_THREADS": "1"},
        silence_logs="ERROR",
    )
    return ClosingClient(cluster)


class ClosingClient(Client):
    """A client that owns its cluster: both end together."""

    def __init__(self, cluster: LocalCluster) -> None:
        self._owned = cluster
        super().__init__(cluster)

    def close(self, *args: Any, **kwargs: Any) -> Any:
        result = super().close(*args, **kwargs)
        if not self.asynchronous:
            self._owned.close()
        return result


def file_slices(path: Path, partition_rows: int) -> list[tuple[Path, int, int]]:
    """(file, first row, rows) of each task."""
    try:
        metadata = pq.read_metadata(path)
    except Exception as error:
        raise CleaningError(f"{path}: not a readable Parquet file ({error}); run the extraction again") from None
    missing = [name for name in schemas.STAGED_NOTES.names if name not in metadata.schema.names]
    if missing:
        raise CleaningError(f"{path}: missing column(s) {', '.join(missing)}; expected {schemas.STAGED_NOTES.names}")
    return [(path, start, partition_rows) for start in range(0, metadata.num_rows, partition_rows)]


def clean_slice(number: int, path: Path, start: int, rows: int, output: Path, rules: CleaningRules) -> dict[str, Any]:
    """One task, on a worker: read a slice, write its two part files, return its counts."""
    frame = pl.scan_parquet(path).slice(start, rows).collect()
    kept, rejects = clean_frame(frame, rules)
    write_beside(kept, output / "notes" / f"part-{number:05d}.parquet")
    write_beside(rejects, output / "rejects" / f"part-{number:05d}.parquet")
    if len(frame) != len(kept) + len(rejects):
        raise CleaningError(
            f"{path}, rows {start} to {start + rows}: {len(frame)} in, {len(kept)} + {len(rejects)} out"
        )
    return {
        "rows_in": len(frame),
        "rows_kept": len(kept),
        "num_words": int(kept["num_words"].sum()),
        "rejects": dict(rejects.group_by("reason").len().iter_rows()),
    }


def write_beside(frame: pl.DataFrame, path: Path) -> None:
    beside = path.with_suffix(".tmp")
    frame.write_parquet(beside)
    beside.rename(path)


def summarize(counts: Sequence[dict[str, Any]], seconds: float, num_bytes: int) -> CleaningReport:
    rejects = {reason: sum(count["rejects"].get(reason, 0) for count in counts) for reason in REASONS}
    return CleaningReport(
        rows_in=sum(count["rows_in"] for count in counts),
        rows_kept=sum(count["rows_kept"] for count in counts),
        rejects_by_reason=rejects,
        num_words=sum(count["num_words"] for count in counts),
        megabytes_per_second=round(num_bytes / 1e6 / max(seconds, 1e-9), 1),
    )
