"""Notes that a corpus can do without, because the same person's record says them already (M03).

Copying a note forward is how hospital records are written, so a corpus says much of its text over and over. Duplicates are
sought inside one person's record: that is where copying happens, it keeps memory bounded at any number of people, and
phrases that notes of different people share are the language that a model is to learn. Only corpora are thinned: the labelled
examples are built from all clean notes.

Files are read twice. First each is split by person into groups small enough for memory; then each group is searched by a process.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lang1_assets.ops.near_duplicates import duplicates_of
from lang1_assets.ops.processes import WorkerDiedError, Workers

COLUMNS = ("note_id", "subject_id", "written_time", "text")
REASONS = ("exact", "near")
Progress = Callable[[int, int], None]


class DeduplicationError(ValueError):
    """Clean notes that cannot be searched, or rows that were lost."""


@dataclass(frozen=True, kw_only=True)
class DuplicatesReport:
    rows_in: int
    """Notes of the corpus, before."""
    rows_kept: int
    duplicates_by_reason: dict[str, int]
    num_text_bytes: int
    num_duplicate_bytes: int
    """UTF-8 bytes of the notes that can go."""
    seconds: float
    megabytes_per_second: float


@dataclass(frozen=True, kw_only=True)
class SpreadJob:
    number: int
    source: Path
    output: Path
    num_groups: int
    chosen: bytes | None


@dataclass(frozen=True, kw_only=True)
class GroupJob:
    number: int
    spread: Path
    output: Path
    near_similarity: float | None


def write_duplicates(
    inputs: Sequence[Path],
    output: Path,
    *,
    chosen: pl.Expr | None,
    near_similarity: float | None,
    num_workers: int,
    notes_per_group: int,
    on_progress: Progress = lambda done, total: None,
) -> DuplicatesReport:
    """Duplicates among the chosen notes as `output/NAME.parquet`, one for each input file, of the rows of that file.

    Columns are those of `near_duplicates.DUPLICATES`, rows in the order of their ids; the same files for any number of workers.

    Args:
        inputs: Parquet files of `schemas.CLEAN_NOTES`.
        chosen: which notes the corpus has; a note outside of it neither goes nor stands for another.
        near_similarity: least Jaccard similarity of a near duplicate, or None for equal texts alone.
        notes_per_group: about how many notes a process holds in memory.
        on_progress: told (jobs done, jobs in all) after each file that was split and each group that was searched.

    Raises:
        DeduplicationError: a file cannot be read, a worker died, or a row was lost.
    """
    started = time.monotonic()
    spread, found = (fresh(output / f"{name}.tmp") for name in ("spread", "found"))
    num_groups = max(1, -(-sum(map(num_rows_of, inputs)) // notes_per_group))
    files = [
        SpreadJob(
            number=number,
            source=path,
            output=spread,
            num_groups=num_groups,
            chosen=None if chosen is None else chosen.meta.serialize(),
        )
        for number, path in enumerate(inputs)
    ]
    groups = [
        GroupJob(number=number, spread=spread, output=found, near_similarity=near_similarity)
        for number in range(num_groups)
    ]
    total = len(files) + len(groups)
    try:
        with Workers(min(num_workers, num_groups)) as workers:
            sizes = workers.in_order(spread_file, files, lambda done, _: on_progress(done, total))
            counts = workers.in_order(search_group, groups, lambda done, _: on_progress(len(files) + done, total))
    except WorkerDiedError as error:
        raise DeduplicationError(f"{error}; lower cleaning.num_workers or cleaning.partition_rows") from None
    num_written = sum(gather(found, number, output / path.name) for number, path in enumerate(inputs))
    for folder in (spread, found):
        shutil.rmtree(folder)
    return summarize(sizes, counts, num_written, time.monotonic() - started)


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def num_rows_of(path: Path) -> int:
    try:
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DeduplicationError(
            f"{path}: not a readable Parquet file ({type(error).__name__}); clean the notes again"
        ) from None


def spread_file(job: SpreadJob) -> tuple[int, int]:
    """One file's chosen notes, those of a group beside each other; (notes, bytes of text)."""
    scan = pl.scan_parquet(job.source)
    if job.chosen is not None:
        scan = scan.filter(pl.Expr.deserialize(job.chosen))
    person = pl.coalesce("subject_id", "note_id")
    try:
        notes = (
            scan.select(*COLUMNS, part=pl.lit(job.number), group=person.hash(seed=0) % job.num_groups)
            .collect()
            .sort("group")
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DeduplicationError(
            f"{job.source}: cannot be read ({type(error).__name__}); clean the notes again"
        ) from None
    # Row groups of about one group each: whoever looks for a group skips most others by their statistics.
    notes.write_parquet(
        job.output / f"{job.number:05d}.parquet",
        compression="lz4",
        row_group_size=max(1_000, len(notes) // job.num_groups),
    )
    return len(notes), int(notes["text"].str.len_bytes().sum())


def search_group(job: GroupJob) -> tuple[int, Counter[str], int]:
    """One group's duplicates into a file; (notes, duplicates of each reason, bytes of their text)."""
    notes = pl.scan_parquet(job.spread / "*.parquet").filter(pl.col("group") == job.number).collect()
    found = duplicates_of(notes, job.near_similarity).join(
        notes.select("note_id", "part", num_bytes=pl.col("text").str.len_bytes()), on="note_id", validate="1:1"
    )
    found.sort("part", "note_id").write_parquet(job.output / f"{job.number:05d}.parquet")
    reasons = Counter(dict(found.group_by("reason").len().iter_rows()))
    return len(notes), reasons, int(found["num_bytes"].sum())


def gather(found: Path, part: int, path: Path) -> int:
    rows = pl.scan_parquet(found / "*.parquet").filter(pl.col("part") == part).drop("part", "num_bytes").sort("note_id")
    beside = path.with_suffix(".tmp")
    frame = rows.collect()
    frame.write_parquet(beside)
    beside.rename(path)
    return len(frame)


def summarize(
    sizes: Sequence[tuple[int, int]], counts: Sequence[tuple[int, Counter[str], int]], num_written: int, seconds: float
) -> DuplicatesReport:
    rows_in, num_bytes = (sum(column) for column in zip(*sizes, strict=True))
    reasons = sum((reasons for _, reasons, _ in counts), Counter[str]())
    searched = sum(num_notes for num_notes, *_ in counts)
    if searched != rows_in or num_written != reasons.total():
        raise DeduplicationError(
            f"{rows_in} notes, {searched} searched; {reasons.total()} duplicates, {num_written} written: rows were lost"
        )
    return DuplicatesReport(
        rows_in=rows_in,
        rows_kept=rows_in - reasons.total(),
        duplicates_by_reason={reason: reasons[reason] for reason in REASONS},
        num_text_bytes=num_bytes,
        num_duplicate_bytes=sum(count[2] for count in counts),
        seconds=round(seconds, 2),
        megabytes_per_second=round(num_bytes / 1e6 / max(seconds, 1e-9), 1),
    )
