"""Cohorts in the label schema of the Medical Event Data Standard (MEDS 0.4), for the tools of that ecosystem."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from lang1_assets.ops.tasks import Task

SUBJECT_TEXT = "subject_id_text"
MAXIMUM_DIGITS = 18
"""Of a decimal number that surely fits 64 bits."""


def subject_numbers(subject_ids: pl.Series) -> pl.DataFrame:
    """MEDS wants 64-bit integers for people, hospitals write text.

    Ids that are all plain decimal numbers keep their value. Otherwise people are numbered from 1 in the order of their ids,
    and the table returned is the only way back.

    Returns:
        One row a person: `subject_id` (int64), `subject_id_text`.
    """
    ids = subject_ids.unique().sort()
    is_number = ids.str.contains(r"^(0|[1-9][0-9]*)$") & (ids.str.len_chars() <= MAXIMUM_DIGITS)
    numbers = ids.cast(pl.Int64) if is_number.all() else pl.Series(range(1, len(ids) + 1), dtype=pl.Int64)
    return pl.DataFrame({"subject_id": numbers, SUBJECT_TEXT: ids})


def meds_labels(cohort: pl.DataFrame, subjects: pl.DataFrame, task: Task) -> pl.DataFrame:
    """A cohort (`schemas.COHORT`) as MEDS labels.

    Args:
        subjects: from `subject_numbers`, of everybody in the cohort.

    Returns:
        One row a labelled note, by person and time: `subject_id` (int64), `prediction_time` (microseconds), then
        `boolean_value` for two classes or `integer_value` for more; MEDS lets the other columns be absent. Two
        notes of one person at one time are two rows.
    """
    value = (pl.col("label") == 1).alias("boolean_value")
    if task.num_classes > 2:
        value = pl.col("label").cast(pl.Int64).alias("integer_value")
    return (
        cohort.rename({"subject_id": SUBJECT_TEXT})
        .join(subjects, on=SUBJECT_TEXT, how="inner", validate="m:1")
        .sort("subject_id", "prediction_time", "note_id")
        .select("subject_id", pl.col("prediction_time").cast(pl.Datetime("us")), value)
    )


def write_meds_labels(cohort: Path, patients: Path, task: Task, labels: Path, subjects: Path) -> None:
    """Write the labels of one task, and the table of people's numbers, as Parquet."""
    numbers = subject_numbers(pl.read_parquet(patients, columns=["subject_id"])["subject_id"])
    meds_labels(pl.read_parquet(cohort), numbers, task).write_parquet(labels)
    numbers.write_parquet(subjects)
