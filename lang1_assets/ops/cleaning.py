"""Cleaning by the rules of paper section 5.1, as vectorised expressions on Dask.

Narrative fields are joined; punctuation, spacing and formatting are standardised; non-ASCII and malformed characters and
errant whitespace go; notes under ten words or holding a placeholder are rejected, each with its reason.
"""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import polars as pl
import pyarrow.parquet as pq
from dask.distributed import Client, KilledWorker, LocalCluster, as_completed

from lang1_assets.ops import schemas

REASONS = ("empty", "placeholder", "too_short")

PUNCTUATION = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022\u25cf\u25aa\u00b7", "-"),
    "\u2026": "...",
    "\u2044": "/",
    "\u00d7": "x",
    "\u00b1": "+/-",
    "\u00b5": "u",
    "\u03bc": "u",
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2192": "->",
    # Plain NFKD would make these of a space and a mark.
    "\u00a0": " ",
    "\u00a8": " ",
    "\u00af": " ",
    "\u00b0": " ",
    "\u00b8": " ",
}


class CleaningError(ValueError):
    """Input that cannot be cleaned, or rows that were lost."""


@dataclass(frozen=True, kw_only=True)
class CleaningRules:
    min_words: int = 10
    """A note with fewer words is rejected."""
    placeholders: tuple[str, ...] = ("<NA>", "NULL", "[pending]")
    """A field that is nothing but one of these, in any case, counts as blank; a note of such fields alone is rejected."""
    placeholders_anywhere: tuple[str, ...] = ("<NA>",)
    """A note that holds one of these in its prose is rejected."""


@dataclass(frozen=True, kw_only=True)
class CleaningReport:
    rows_in: int
    rows_kept: int
    rejects_by_reason: dict[str, int]
    num_words: int
    """Words of the notes kept."""
    num_text_bytes: int
    """UTF-8 bytes of the narrative fields read."""
    seconds: float
    """Of the whole run, start of the workers included."""
    megabytes_per_second: float
    """`num_text_bytes` over `seconds`."""


def ascii_table() -> dict[str, str]:
    """What each character outside ASCII is written as; what is not in here is dropped.

    Punctuation and units by name, accented letters by their plain letter, and both once more as they look after UTF-8 was
    read as Windows-1252 ("mojibake").
    """
    table = dict(PUNCTUATION)
    for code in (*range(0xA0, 0x250), *range(0x1E00, 0x1F00)):
        decomposed = unicodedata.normalize("NFKD", chr(code)).replace("\u2044", "/")
        plain = "".join(mark for mark in decomposed if mark.isascii())
        if plain.strip():
            table.setdefault(chr(code), plain)
    # Longest first: the two or three characters of one mojibake before each by itself.
    broken = {misread(char): plain for char, plain in table.items() if not char.isascii()}
    return dict(sorted((broken | table).items(), key=lambda entry: -len(entry[0])))


def misread(char: str) -> str:
    """A character's UTF-8 bytes as Windows-1252, its five undefined bytes as the control characters of Latin-1."""
    return "".join(
        bytes([byte]).decode("cp1252" if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else "latin-1")
        for byte in char.encode()
    )


ASCII_TABLE = ascii_table()


def clean_frame(frame: pl.DataFrame, rules: CleaningRules) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `schemas.STAGED_NOTES` -> (`schemas.CLEAN_NOTES`, `schemas.REJECTS`), both in the order of the input."""
    prepared = (
        frame.with_columns(raw=joined_fields(rules), has_field=has_field())
        .with_columns(text=standardized(pl.col("raw")))
        .with_columns(num_words=num_words(pl.col("text")))
        .with_columns(reason=reject_reason(rules))
    )
    kept = prepared.filter(pl.col("reason").is_null()).select(schemas.CLEAN_NOTES.names)
    rejects = prepared.filter(pl.col("reason").is_not_null()).select(
        source=pl.lit("notes"), row_id=pl.col("note_id"), reason="reason"
    )
    return kept, rejects


def joined_fields(rules: CleaningRules) -> pl.Expr:
    """Narrative fields with a space between; those that are only a placeholder are left out, as an export's nulls are."""
    whole = [placeholder.lower() for placeholder in rules.placeholders]
    fields = [
        # Only a short field can be a placeholder: long texts are not lowercased for nothing.
        pl.when(
            (pl.col(name).str.len_bytes() < 64)
            & pl.col(name).str.strip_chars().str.head(64).str.to_lowercase().is_in(whole)
        )
        .then(pl.lit(""))
        .otherwise(pl.col(name).fill_null(""))
        for name in schemas.NARRATIVE_FIELDS
    ]
    return pl.concat_str(fields, separator=" ")


def has_field() -> pl.Expr:
    """Whether any narrative field says anything at all, a placeholder included."""
    return pl.any_horizontal(pl.col(name).fill_null("").str.contains(r"\S") for name in schemas.NARRATIVE_FIELDS)


def standardized(text: pl.Expr) -> pl.Expr:
    """Plain ASCII, one kind of each punctuation mark, single spaces, no line breaks. Doing it twice changes nothing."""
    return (
        text.str.replace_many(list(ASCII_TABLE), list(ASCII_TABLE.values()), leftmost=True)
        # Terminal colors, runs of what is left outside printable ASCII, and ruled lines become a space, so that words
        # do not run together.
        .str.replace_all(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7E]+|_{2,}|={2,}|\*{2,}|#{2,}|~{2,}", " ")
        .str.replace_all(r" {2,}", " ")
        .str.replace_many([" ,", " ;", " :", " )"], [",", ";", ":", ")"])
        .str.replace_all(r"-{2,}", "-")
        .str.replace_all(r"\.{4,}", "...")
        .str.replace_all(r"!{2,}", "!")
        .str.replace_all(r"\?{2,}", "?")
        .str.replace_all(r",{2,}", ",")
        .str.strip_chars()
    )


def num_words(text: pl.Expr) -> pl.Expr:
    """Words of a text with single spaces."""
    return pl.when(text == "").then(0).otherwise(text.str.count_matches(" ", literal=True) + 1).cast(pl.Int32)


def reject_reason(rules: CleaningRules) -> pl.Expr:
    """Null for a note to keep."""
    is_blank = ~pl.col("raw").str.contains(r"\S")
    holds_placeholder = pl.lit(False)
    for placeholder in rules.placeholders_anywhere:
        holds_placeholder |= pl.col("raw").str.contains(placeholder, literal=True)
    return (
        pl.when((is_blank & pl.col("has_field")) | holds_placeholder)
        .then(pl.lit("placeholder"))
        .when(pl.col("text") == "")
        .then(pl.lit("empty"))
        .when(pl.col("num_words") < rules.min_words)
        .then(pl.lit("too_short"))
    )


@dataclass(frozen=True, kw_only=True)
class RowSlice:
    """What one Dask task cleans: rows of one file, so that memory stays bounded whatever the file's size."""

    number: int
    path: Path
    start: int
    num_rows: int


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

    The part files are the same for any number of workers and any order of work, and a task whose worker dies is done again
    elsewhere.

    Args:
        scheduler_address: a running Dask cluster that sees the same paths; without one, `num_workers` processes here.
        partition_rows: notes a task holds in memory.
        on_progress: told (tasks done, tasks in all) after each.

    Raises:
        CleaningError: a file is not readable Parquet or lacks a column, or a row was lost.
    """
    for folder in ("notes", "rejects"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    slices = plan(inputs, partition_rows)
    started = time.monotonic()
    with ExitStack() as stack:
        client = connect(stack, scheduler_address, min(num_workers, len(slices)))
        # pure=False: a task is known by its own key, never by a hash of what it reads.
        futures = [client.submit(clean_slice, part, output, rules, pure=False, retries=2) for part in slices]
        counts = []
        for done, future in enumerate(as_completed(futures), start=1):
            counts.append(result_of(future))
            on_progress(done, len(futures))
    return summarize(counts, time.monotonic() - started)


def plan(inputs: Sequence[Path], partition_rows: int) -> list[RowSlice]:
    if not inputs:
        raise CleaningError("no Parquet file of staged notes to clean; run the extraction first")
    # An empty file still gives one empty part, so that whoever reads the folder finds its columns.
    starts = [(path, start) for path in inputs for start in range(0, max(1, num_rows_of(path)), partition_rows)]
    return [
        RowSlice(number=number, path=path, start=start, num_rows=partition_rows)
        for number, (path, start) in enumerate(starts)
    ]


def num_rows_of(path: Path) -> int:
    """Rows of a file whose columns and types are those of staged notes."""
    try:
        metadata = pq.read_metadata(path)
        found = pl.read_parquet_schema(path)
    except Exception as error:
        raise CleaningError(f"{path}: not a readable Parquet file ({error}); run the extraction again") from None
    expected = pl.DataFrame(schemas.STAGED_NOTES.empty_table()).schema
    missing = [name for name in expected if name not in found]
    if missing:
        raise CleaningError(f"{path}: missing column(s) {', '.join(missing)}; expected {', '.join(expected)}")
    for name, dtype in expected.items():
        if not found[name].is_(dtype) and not (dtype.is_temporal() and isinstance(found[name], pl.Datetime)):
            raise CleaningError(f"{path}: column {name} is {found[name]}, expected {dtype}; run the extraction again")
    return int(metadata.num_rows)


def connect(stack: ExitStack, scheduler_address: str | None, num_workers: int) -> Client:
    """A client of a running cluster, or of one made here that ends with the stack."""
    if scheduler_address is not None:
        return stack.enter_context(Client(scheduler_address))
    stack.enter_context(kept_environment())
    # One Polars thread a worker: the workers are the parallelism. In the environment before they start, because a worker's
    # own `env` comes after Polars has counted the cores.
    with dask.config.set({"distributed.nanny.pre-spawn-environ.POLARS_MAX_THREADS": "1"}):
        cluster = LocalCluster(
            n_workers=num_workers, threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
        )
    stack.enter_context(cluster)
    return stack.enter_context(Client(cluster))


@contextmanager
def kept_environment() -> Iterator[None]:
    """The environment as it was, whatever happens in between.

    Dask's nannies write their workers' limits (`OMP_NUM_THREADS=1`, `MKL_NUM_THREADS=1`, ...) into this very process and leave
    them there: training and scoring that came later in it ran on one core.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def result_of(future: Any) -> dict[str, Any]:
    try:
        return dict(future.result())
    except KilledWorker as error:
        raise CleaningError(
            f"the Dask worker died at every attempt of one task ({error.task}), most likely for want of memory; lower "
            "cleaning.partition_rows or cleaning.num_workers"
        ) from None


def clean_slice(part: RowSlice, output: Path, rules: CleaningRules) -> dict[str, Any]:
    """One task, on a worker: read a slice, write its two part files, return its counts."""
    frame = read_slice(part)
    kept, rejects = clean_frame(frame, rules)
    if len(frame) != len(kept) + len(rejects):
        raise CleaningError(
            f"{part.path}, {len(frame)} rows from {part.start}: {len(kept)} kept and {len(rejects)} rejected do not add up"
        )
    write_beside(kept, output / "notes" / f"part-{part.number:05d}.parquet")
    write_beside(rejects, output / "rejects" / f"part-{part.number:05d}.parquet")
    num_bytes = frame.select(pl.sum_horizontal(pl.col(schemas.NARRATIVE_FIELDS).str.len_bytes().sum())).item()
    return {
        "rows_in": len(frame),
        "rows_kept": len(kept),
        "num_words": int(kept["num_words"].sum()),
        "num_text_bytes": int(num_bytes),
        "rejects": dict(rejects.group_by("reason").len().iter_rows()),
    }


def read_slice(part: RowSlice) -> pl.DataFrame:
    scan = pl.scan_parquet(part.path).select(schemas.STAGED_NOTES.names).slice(part.start, part.num_rows)
    try:
        return scan.collect().cast({"written_time": pl.Datetime("us")})
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CleaningError(
            f"{part.path}, rows from {part.start}: cannot be read ({type(error).__name__}); run the extraction again"
        ) from None


def write_beside(frame: pl.DataFrame, path: Path) -> None:
    """Whole or not at all; a second attempt at a task replaces the first with the same rows."""
    beside = path.with_suffix(".tmp")
    frame.write_parquet(beside)
    beside.rename(path)


def summarize(counts: Sequence[dict[str, Any]], seconds: float) -> CleaningReport:
    def total(field: str) -> int:
        return sum(count[field] for count in counts)

    return CleaningReport(
        rows_in=total("rows_in"),
        rows_kept=total("rows_kept"),
        rejects_by_reason={reason: sum(count["rejects"].get(reason, 0) for count in counts) for reason in REASONS},
        num_words=total("num_words"),
        num_text_bytes=total("num_text_bytes"),
        seconds=round(seconds, 2),
        megabytes_per_second=round(total("num_text_bytes") / 1e6 / max(seconds, 1e-9), 1),
    )
