"""Tables B1 - B7 (paper appendix B) of any source: notes, patients and class ratios by split, ours above the paper's.

Everything is counted from Parquet columns of ids, splits and labels: the text of a note is never read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lang1_assets.ops import paper_tables, schemas
from lang1_assets.ops.tasks import TASKS

COUNTED = ("note_id", "subject_id", "split", "label")
OURS, PAPER = "ours", "paper"
NOTHING = "–"


class DatasetError(ValueError):
    """A file that cannot be counted."""


@dataclass(frozen=True, kw_only=True)
class DatasetTable:
    """One of the paper's tables about our data."""

    name: str
    """`B1` to `B7`; empty for the ratios of a task that the paper does not have."""
    title: str
    frame: pl.DataFrame
    """B1, B2: task, source ("ours", "paper"), a column a split, total, remark. Others: split, source, a column a label."""


@dataclass(frozen=True, kw_only=True)
class TaskCounts:
    """What one task's file holds."""

    task: str
    notes: dict[str, int]
    """Distinct notes by split."""
    patients: dict[str, int]
    """Distinct patients by split; one may be in several."""
    labels: dict[tuple[str, int], int]
    """Distinct notes by split and label."""
    num_notes: int
    num_patients: int
    """Distinct over all splits."""


@dataclass(frozen=True, kw_only=True)
class WordCount:
    """Words of the clean notes of one task."""

    num_words: int
    num_notes_without_text: int
    """Notes of the cohort that are not among the clean ones, so that their words are unknown."""


def dataset_tables(
    files: Mapping[str, Path], *, clean_notes: Path | None = None, splits: Sequence[str] | None = None
) -> list[DatasetTable]:
    """B1, B2, then the label ratios of each task, in the order of the paper.

    Args:
        files: task -> Parquet files of `schemas.COHORT` or `schemas.EXAMPLES` (a path or pattern).
        clean_notes: a path or pattern of `schemas.CLEAN_NOTES`, for the total of words; without it none is given.
        splits: the columns, in order; by default the splits found, in the order of `schemas.SPLITS`.

    Raises:
        DatasetError: a file cannot be read, lacks a column or value, has a split that is not in `splits`, or a note with
            two labels; names the file and the row.
    """
    ordered = sorted(files, key=_place_in_paper)
    counts = [count_task(task, files[task]) for task in ordered]
    columns = splits_in_order(counts) if splits is None else tuple(splits)
    for each in counts:
        _check_splits(each, columns, files[each.task])
    words = count_words(files, clean_notes) if clean_notes is not None else {}
    return [
        notes_table(counts, columns),
        patients_table(counts, columns),
        *(ratio_table(each, columns, words.get(each.task)) for each in counts),
    ]


def _place_in_paper(task: str) -> tuple[str, str]:
    return (paper_tables.RATIO_TABLES.get(task, "C"), task)


def count_task(task: str, file: Path) -> TaskCounts:
    """Distinct notes and patients of one file, streamed."""
    rows = pl.scan_parquet(file).select(COUNTED)
    measures = (
        pl.col("note_id").n_unique().cast(pl.Int64).alias("num_notes"),
        pl.col("subject_id").n_unique().cast(pl.Int64).alias("num_patients"),
    )
    by_label = rows.group_by("split", "label").agg(measures[0])
    _check_values(file)
    frames = _collected([rows.group_by("split").agg(measures), by_label, rows.select(measures)], file)
    notes = {split: num_notes for split, num_notes, _ in frames[0].iter_rows()}
    labels = {(split, label): num_notes for split, label, num_notes in frames[1].iter_rows()}
    _check_labels(notes, labels, file)
    return TaskCounts(
        task=task,
        notes=notes,
        patients={split: num_patients for split, _, num_patients in frames[0].iter_rows()},
        labels=labels,
        num_notes=frames[2]["num_notes"].item(),
        num_patients=frames[2]["num_patients"].item(),
    )


def count_words(files: Mapping[str, Path], clean_notes: Path) -> dict[str, WordCount]:
    """Total words of each task's distinct notes, in one pass over the clean notes."""
    ids = pl.concat(
        [pl.scan_parquet(file).select(pl.lit(task).alias("task"), "note_id").unique() for task, file in files.items()]
    )
    cohort_ids = ids.select("note_id").unique()
    words = pl.scan_parquet(clean_notes).select("note_id", "num_words").join(cohort_ids, on="note_id", how="semi")
    (found,) = _collected([words], clean_notes)
    if found["note_id"].is_duplicated().any() or found["num_words"].null_count():
        raise DatasetError(f"{clean_notes}: a note is there twice or without num_words; run the cleaning again")
    joined = ids.join(found.lazy(), on="note_id", how="left").group_by("task")
    measures = joined.agg(pl.col("num_words").cast(pl.Int64).sum(), missing=pl.col("num_words").null_count())
    return {
        task: WordCount(num_words=num_words, num_notes_without_text=missing)
        for task, num_words, missing in measures.collect(engine="streaming").iter_rows()
    }


def _collected(frames: list[pl.LazyFrame], file: Path) -> list[pl.DataFrame]:
    try:
        return pl.collect_all(frames, engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DatasetError(
            f"{file}: {error}; expected Parquet files of this project's schema, make them again"
        ) from None


def _check_values(file: Path) -> None:
    incomplete = pl.any_horizontal(pl.col(name).is_null() for name in COUNTED)
    rows = pl.scan_parquet(file, row_index_name="row").select("row", *COUNTED).filter(incomplete).head(1)
    (found,) = _collected([rows], file)
    if not found.is_empty():
        row = found.row(0, named=True)
        missing = ", ".join(name for name in COUNTED if row[name] is None)
        raise DatasetError(f"{file}, row {row['row']} (from 0): no {missing}; expected a value in each row")


def _check_labels(notes: Mapping[str, int], labels: Mapping[tuple[str, int], int], file: Path) -> None:
    for split, num_notes in notes.items():
        labelled = sum(count for (own, _), count in labels.items() if own == split)
        if labelled != num_notes:
            raise DatasetError(
                f"{file}: split '{split}' has {num_notes:,} notes with {labelled:,} labels; expected one label a note"
            )


def _check_splits(counts: TaskCounts, splits: Sequence[str], file: Path) -> None:
    unknown = [split for split in counts.notes if split not in splits]
    if unknown:
        raise DatasetError(
            f"{file}: split '{sorted(unknown)[0]}' is not among {', '.join(splits)}; its {counts.notes[unknown[0]]:,} "
            "notes would be left out; name it too"
        )


def splits_in_order(counts: Sequence[TaskCounts]) -> tuple[str, ...]:
    """The splits that any task has: those of `SPLITS` in their order, then others by name."""
    found = {split for each in counts for split in each.notes}
    return (*(s for s in schemas.SPLITS if s in found), *sorted(found.difference(schemas.SPLITS)))


def notes_table(counts: Sequence[TaskCounts], splits: Sequence[str]) -> DatasetTable:
    """B1. The total is of distinct notes."""
    rows: list[dict[str, Any]] = []
    for each in counts:
        rows.append({"task": each.task, "source": OURS, **_of(each.notes, splits, 0), "total": each.num_notes})
        rows += _paper_rows("B1", each.task, splits, paper_tables.NOTE_COUNTS, paper_tables.NOTE_TOTALS)
    return DatasetTable(name="B1", title="Table B1: distinct notes by task and split", frame=_frame(rows, splits))


def patients_table(counts: Sequence[TaskCounts], splits: Sequence[str]) -> DatasetTable:
    """B2. The total is of distinct patients over all splits, so it is less than the sum where one is in several."""
    rows: list[dict[str, Any]] = []
    for each in counts:
        rows.append({"task": each.task, "source": OURS, **_of(each.patients, splits, 0), "total": each.num_patients})
        rows += _paper_rows("B2", each.task, splits, paper_tables.PATIENT_COUNTS, paper_tables.PATIENT_TOTALS)
    return DatasetTable(name="B2", title="Table B2: distinct patients by task and split", frame=_frame(rows, splits))


def _of(values: Mapping[str, int], splits: Sequence[str], missing: int | None) -> dict[str, int | None]:
    return {split: values.get(split, missing) for split in splits}


def _paper_rows(
    table: str, task: str, splits: Sequence[str], counts: Mapping[str, dict[str, int]], totals: Mapping[str, int]
) -> list[dict[str, Any]]:
    if task not in counts:
        return []
    # The paper's total is over its five splits and stands beside no other list.
    total = totals[task] if set(splits) == set(schemas.SPLITS) else None
    keys = [(table, task, split) for split in splits]
    remarks = [f"{key[2]}: {paper_tables.MISPRINTS[key]}" for key in keys if key in paper_tables.MISPRINTS]
    row = {"task": task, "source": PAPER, **_of(counts[task], splits, None), "total": total}
    return [{**row, "remark": "; ".join(remarks) or None}]


def _frame(rows: Sequence[dict[str, Any]], splits: Sequence[str]) -> pl.DataFrame:
    numbers = {name: pl.Int64 for name in (*splits, "total")}
    return pl.DataFrame(rows, schema={"task": pl.String, "source": pl.String, **numbers, "remark": pl.String})


def ratio_table(counts: TaskCounts, splits: Sequence[str], words: WordCount | None = None) -> DatasetTable:
    """B3 - B7: the share of each label among a split's notes; null for a split without notes."""
    titles = label_titles(counts)
    rows: list[dict[str, Any]] = []
    for split in splits:
        whole = counts.notes.get(split, 0)
        ours = {title: counts.labels.get((split, k), 0) / whole if whole else None for k, title in titles.items()}
        rows.append({"split": split, "source": OURS, **ours})
        paper = paper_tables.CLASS_RATIOS.get(counts.task, {}).get(split)
        if paper is not None:
            rows.append({"split": split, "source": PAPER, **dict(zip(titles.values(), paper, strict=False))})
    schema = {"split": pl.String, "source": pl.String, **dict.fromkeys(titles.values(), pl.Float64)}
    name = paper_tables.RATIO_TABLES.get(counts.task, "")
    return DatasetTable(name=name, title=ratio_title(name, counts, words), frame=pl.DataFrame(rows, schema=schema))


def label_titles(counts: TaskCounts) -> dict[int, str]:
    """Label -> column: the paper's titles, and any other label by its number."""
    titles = dict(enumerate(paper_tables.RATIO_TITLES.get(counts.task, ())))
    others = sorted({label for _, label in counts.labels}.difference(titles))
    return titles | {label: f"label {label}" for label in others}


def ratio_title(name: str, counts: TaskCounts, words: WordCount | None) -> str:
    """The title line with total notes and words, as in the paper, and the paper's own."""
    task = TASKS[counts.task].title if counts.task in TASKS else counts.task
    ours = f"total notes = {counts.num_notes:,}"
    if words is not None:
        ours += f"; total words = {words.num_words:,}"
    if words is not None and words.num_notes_without_text:
        ours += f", not counting {words.num_notes_without_text:,} notes without clean text"
    if counts.task in paper_tables.NOTE_TOTALS:
        notes, total = paper_tables.NOTE_TOTALS[counts.task], paper_tables.WORD_TOTALS[counts.task]
        ours += f"; paper: {notes:,} notes, {total:,} words"
    return f"{f'Table {name}: ' if name else ''}{task}, label ratios by split ({ours})"


def markdown_of(frame: pl.DataFrame) -> str:
    """A Markdown table: numbers flush right with thousands separators, ratios with six decimals as the paper prints them.

    A column that holds nothing at all is left out; an empty cell is a dash.
    """
    shown = frame.select(s for s in frame if s.null_count() < len(s) or not len(s))
    rule = ["---:" if dtype.is_numeric() else "---" for dtype in shown.dtypes]
    rows = [[_cell(value) for value in row] for row in shown.iter_rows()]
    return "\n".join("| " + " | ".join(line) + " |" for line in [[_cell(name) for name in shown.columns], rule, *rows])


def _cell(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:.6f}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")
