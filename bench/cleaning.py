"""Cleaning by the rules of section 5.1: ours on Dask against datatrove, Dask with pandas strings, and Polars streaming alone.

All read the same Parquet files of staged notes and write clean notes as Parquet; the texts kept must be the same to the letter.
Times run from the call to the last file. Dask's two worker processes are there before, as on a cluster, but for
`ours_with_start`. datatrove has no such rules: it runs them as a formatter and a filter of its own kind, on Python strings, in
two processes.

Run: `.venv/bin/python bench/cleaning.py [--repeats N] [--encounters N] [--copies N] [PATH of real text]`.
Writes `bench/results/cleaning.json` and `.md`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import contest
import polars as pl
import texts

from lang1_assets.ops import cleaning, schemas

NUM_WORKERS = 2
PARTITION_ROWS = 25_000
PEERS = {"datatrove": "datatrove"}

# The same rules in the standard library's regular expressions.
TABLE = re.compile("|".join(re.escape(mark) for mark in cleaning.ASCII_TABLE))
STEPS = (
    (re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7E]+|_{2,}|={2,}|\*{2,}|#{2,}|~{2,}"), " "),
    (re.compile(r" {2,}"), " "),
    (re.compile(r" ([,;:)])"), r"\1"),
    (re.compile(r"-{2,}"), "-"),
    (re.compile(r"\.{4,}"), "..."),
    (re.compile(r"!{2,}"), "!"),
    (re.compile(r"\?{2,}"), "?"),
    (re.compile(r",{2,}"), ","),
)
RULES = cleaning.CleaningRules()
WHOLE = {placeholder.lower() for placeholder in RULES.placeholders}


def joined(fields: list[str | None]) -> str:
    return " ".join("" if field is None or field.strip().lower() in WHOLE else field for field in fields)


def standardized(text: str) -> str:
    if not text.isascii():
        text = TABLE.sub(lambda found: cleaning.ASCII_TABLE[found[0]], text)
    for pattern, replacement in STEPS:
        text = pattern.sub(replacement, text)
    return text.strip()


def is_kept(raw: str, text: str) -> bool:
    if not raw.strip() or any(placeholder in raw for placeholder in RULES.placeholders_anywhere):
        return False
    return bool(text) and text.count(" ") + 1 >= RULES.min_words


def ours(source: Path, output: Path, address: str | None) -> Any:
    return cleaning.clean_notes(
        sorted(source.glob("*.parquet")),
        output,
        RULES,
        scheduler_address=address,
        num_workers=NUM_WORKERS,
        partition_rows=PARTITION_ROWS,
        on_progress=lambda done, total: None,
    ).rows_kept


def polars_streaming(source: Path, output: Path, address: str | None) -> Any:
    (output / "notes").mkdir(parents=True)
    kept = (
        pl.scan_parquet(source / "*.parquet")
        .with_columns(raw=cleaning.joined_fields(RULES), has_field=cleaning.has_field())
        .with_columns(text=cleaning.standardized(pl.col("raw")))
        .with_columns(num_words=cleaning.num_words(pl.col("text")))
        .filter(cleaning.reject_reason(RULES).is_null())
        .select(schemas.CLEAN_NOTES.names)
    )
    kept.sink_parquet(output / "notes" / "all.parquet", engine="streaming")
    return None


def clean_pandas(frame: Any) -> Any:
    """One partition, by pandas string methods where pandas has them."""
    fields = [frame[name].fillna("") for name in schemas.NARRATIVE_FIELDS]
    fields = [field.mask(field.str.strip().str.lower().isin(WHOLE), "") for field in fields]
    raw = fields[0].str.cat(fields[1:], sep=" ")
    text = raw.str.replace(TABLE, lambda found: cleaning.ASCII_TABLE[found[0]], regex=True)
    for pattern, replacement in STEPS:
        text = text.str.replace(pattern, replacement, regex=True)
    text = text.str.strip()
    num_words = (text.str.count(" ") + 1).where(text != "", 0).astype("int32")
    keep = (raw.str.strip() != "") & (num_words >= RULES.min_words)
    for placeholder in RULES.placeholders_anywhere:
        keep &= ~raw.str.contains(placeholder, regex=False)
    return frame.assign(text=text, num_words=num_words)[schemas.CLEAN_NOTES.names][keep]


def pandas_in_dask(source: Path, output: Path, address: str | None) -> Any:
    import dask.dataframe
    from dask.distributed import Client

    with Client(address):
        frame = dask.dataframe.read_parquet(source)
        types = {"num_words": "int32", "text": "string"}
        meta = frame._meta.assign(**{name: "" for name in types}).astype(types)[schemas.CLEAN_NOTES.names]
        frame.map_partitions(clean_pandas, meta=meta).to_parquet(output / "notes", write_index=False)
    return None


def datatrove(source: Path, output: Path, address: str | None) -> Any:
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.formatters.base import BaseFormatter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    class Standardized(BaseFormatter):
        name = "section 5.1"

        def format(self, text: str) -> str:
            return standardized(text)

    def document(self: Any, row: dict[str, Any], path: str, number: int | str) -> dict[str, Any]:
        raw = joined([row.pop(name) for name in schemas.NARRATIVE_FIELDS])
        return {"text": raw, "id": row.pop("note_id"), "metadata": {"raw_blank": not is_kept(raw, "x " * 99), **row}}

    def keep(found: Document) -> bool:
        return not found.metadata.pop("raw_blank") and is_kept("x", found.text)

    steps = [
        ParquetReader(str(source), adapter=document, batch_size=1_000),
        # The reader drops a document without text; so do the rules.
        Standardized(),
        LambdaFilter(keep),
        ParquetWriter(str(output / "notes"), output_filename="${rank}.parquet"),
    ]
    LocalPipelineExecutor(steps, tasks=NUM_WORKERS, workers=NUM_WORKERS, logging_dir=str(output / "logs")).run()
    return None


CONTENDERS = {
    "ours": ours,
    "ours_with_start": ours,
    "polars_streaming": polars_streaming,
    "pandas_in_dask": pandas_in_dask,
    "datatrove": datatrove,
}


ON_DASK = ("ours", "pandas_in_dask")


def run(name: str, source: str, output: str) -> None:
    with ExitStack() as stack:
        client = cleaning.connect(stack, None, NUM_WORKERS) if name in ON_DASK else None
        address = client.scheduler.address if client is not None else None
        contest.timed(lambda: CONTENDERS[name](Path(source), Path(output), address))


def digest(output: Path) -> tuple[int, str]:
    """Number of notes, and a hash of all ids and texts in the order of the ids."""
    frame = pl.read_parquet(output / "notes" / "*.parquet", missing_columns="insert")
    frame = (
        frame.rename({"id": "note_id"}, strict=False).select(pl.col("note_id", "text").cast(pl.String)).sort("note_id")
    )
    lines = "\n".join(f"{name}\t{text}" for name, text in frame.iter_rows())
    return len(frame), hashlib.sha256(lines.encode()).hexdigest()


def write_inputs(folder: Path, encounters: int, copies: int, real: Path | None) -> pl.DataFrame:
    """The notes as several Parquet files; copies have ids of their own."""
    notes = (
        texts.staged_notes(folder / "exports", encounters) if real is None else texts.as_notes(texts.real_texts(real))
    )
    notes = notes.unique("note_id", keep="first", maintain_order=True)
    (folder / "notes").mkdir()
    for number in range(copies):
        copy = notes.with_columns(pl.col("note_id") + f"-{number}")
        half = len(copy) // 2
        for part, rows in enumerate((copy[:half], copy[half:])):
            rows.write_parquet(folder / "notes" / f"{number}-{part}.parquet")
    return notes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--encounters", type=int, default=45_000)
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--run", nargs=3, metavar=("NAME", "IN", "OUT"))
    parser.add_argument("real", type=Path, nargs="?")
    options = parser.parse_args()
    if options.run:
        run(*options.run)
        return
    missing = contest.missing_peers(PEERS)
    names = [name for name in options.only if name not in missing]
    with tempfile.TemporaryDirectory(prefix="cleaning-", dir=os.environ.get("LANG1_BENCH_FOLDER")) as home:
        folder = Path(home)
        notes = write_inputs(folder, options.encounters, options.copies, options.real)
        num_bytes = notes.select(pl.sum_horizontal(pl.col(schemas.NARRATIVE_FIELDS).str.len_bytes().sum())).item()
        megabytes = options.copies * num_bytes / 1e6
        runs = contest.contest(
            __file__, names, options.repeats, lambda name, turn: [str(folder / "notes"), str(folder / f"{name}-{turn}")]
        )
        digests = {name: digest(folder / f"{name}-0") for name in names}
    if len(set(digests.values())) != 1:
        sys.exit(f"the outputs differ: {digests}")
    rows = contest.rows_of(runs, megabytes)
    what = "the embedded hospital's notes, synthetic" if options.real is None else f"real text, {options.real.name}"
    lines = [
        f"{what}: {megabytes:.0f} MB in {options.copies * len(notes):,} notes, {digests['ours'][0]:,} kept, the same texts "
        f"from all. {NUM_WORKERS} processes or threads each; medians of {options.repeats}.",
        "",
        *contest.table(rows, "ours", "MB/s"),
        "",
        *(f"{name} is left out: {how}" for name, how in missing.items()),
    ]
    name = "cleaning" if options.real is None else "cleaning-real"
    contest.write_results(name, {"text": what, "megabytes": megabytes, "rows": rows, "missing": missing}, lines)


if __name__ == "__main__":
    main()
