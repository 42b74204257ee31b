"""Cohorts joined with clean text, and the checks that a cohort can be learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.tasks import Task


class CohortError(ValueError):
    """A cohort cannot be used: it is empty, or a class is missing from a split."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    examples: pl.DataFrame
    """Rows of `schemas.EXAMPLES`, by split and note."""
    num_without_text: int
    """Labelled notes whose text did not survive cleaning; `clean_notes` holds the reason for each."""


def join_text(cohort: Path, notes: Path) -> Joined:
    """The labelled notes of one task with their clean text, the text joined last."""
    labelled = pl.read_parquet(cohort)
    texts = (
        pl.scan_parquet(notes)
        .select("note_id", "text")
        .join(labelled.lazy().select("note_id"), on="note_id", how="semi")
    )
    joined = labelled.join(texts.collect(), on="note_id", how="inner", validate="1:1").sort("split", "note_id")
    return Joined(examples=joined.select(schemas.EXAMPLES.names), num_without_text=len(labelled) - len(joined))


def check_classes(examples: pl.DataFrame, task: Task, splits: Sequence[str] = schemas.SPLITS) -> list[str]:
    """Classes that a validation or test split lacks, named; what cannot be learned or measured at all is an error.

    A rare class may be missing from a small test split: evaluation leaves it out and names it. But training must see every
    class, and no AUROC exists for a split with a single one.

    Raises:
        CohortError: with every problem found.
    """
    counts = examples.group_by("split", "label").len().to_dicts()
    held: dict[str, set[int]] = {split: set() for split in splits}
    for row in counts:
        held.setdefault(row["split"], set()).add(row["label"])
    problems, absent = [], []
    for split, labels in held.items():
        missing = [f"{label} ('{option}')" for label, option in enumerate(task.options) if label not in labels]
        if not labels:
            problems.append(f"split '{split}' is empty")
        elif missing and (split == "train" or len(labels) == 1):
            problems.append(f"split '{split}' has no example of class {', '.join(missing)}")
        elif missing:
            absent.append(f"split '{split}' has no example of class {', '.join(missing)}")
    if problems:
        raise CohortError("; ".join(problems))
    return absent


def largest_loss(attrition: Path, task: Task) -> str:
    """The step of a cohort at which most notes left, in words: where to look when a cohort is too small."""
    steps = pl.read_parquet(attrition).filter(pl.col("task") == task.name).sort("step_number")
    lost = steps.with_columns(before=pl.col("num_notes_left").shift(1)).drop_nulls("before")
    worst = lost.sort(pl.col("before") - pl.col("num_notes_left"), descending=True).row(0, named=True)
    return (
        f"most notes left at the step '{worst['step']}': {worst['before']:,} before, {worst['num_notes_left']:,} after"
    )


def missing_inputs(task_inputs: Path, task: Task) -> str | None:
    """What the source lacks for a task, in words; None when it has everything."""
    rows = pl.read_parquet(task_inputs).filter(pl.col("task") == task.name)
    reason: str | None = rows["reason"].item()
    return reason


def write_examples(examples: pl.DataFrame, path: Path) -> None:
    examples.cast({"label": pl.Int32, "age": pl.Int32}).write_parquet(path)
