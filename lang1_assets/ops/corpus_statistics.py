"""What the clinical corpus holds: patients, notes, words; top departments, diagnoses and boroughs (paper appendix G)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

TOP = 5
ATTRIBUTES = ("department", "diagnosis", "borough")
GROUPS = {"hp": "hospital", "discharge": "hospital", "progress": "hospital"}
"""Note type -> the three groups of Fig. G7; radiology and pathology are their own."""


class StatisticsError(ValueError):
    """Tables that cannot be counted."""


def corpus_statistics(
    notes: Path, encounters: Path, diagnoses: Path, patients: Path
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Totals by group, and the top five values of each attribute with their share of the group's notes.

    Streamed: memory holds one row an encounter or patient, never the notes.

    Args:
        notes: a pattern of Parquet files of `schemas.CLEAN_NOTES`.
        encounters, diagnoses, patients: the staged tables.

    Returns:
        `totals` (note_group, num_patients, num_notes, num_words, and a row "all") and `top` (note_group, attribute, rank,
        value, num_notes, share). A diagnosis is the encounter's first-listed ICD code; a note without a department has
        its encounter's; notes without a value are left out of the share, as in the figure.

    Raises:
        StatisticsError: a file cannot be read or lacks a column.
    """
    rows = pl.scan_parquet(notes).select(
        "encounter_id", "subject_id", "department", "num_words", note_group=pl.col("note_type").replace(GROUPS)
    )
    try:
        attributed = with_attributes(rows, encounters, diagnoses, patients)
        return totals_of(rows), pl.concat([top_of(attributed, attribute) for attribute in ATTRIBUTES])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StatisticsError(f"corpus statistics of {notes}: {error}; run the extraction and cleaning again") from None


def totals_of(rows: pl.LazyFrame) -> pl.DataFrame:
    measures = [
        pl.col("subject_id").n_unique().alias("num_patients"),
        pl.len().alias("num_notes"),
        pl.col("num_words").cast(pl.Int64).sum().alias("num_words"),
    ]
    by_group = rows.group_by("note_group").agg(measures).sort("note_group")
    everything = rows.select(pl.lit("all").alias("note_group"), *measures)
    return pl.concat([by_group, everything]).collect(engine="streaming")


def with_attributes(rows: pl.LazyFrame, encounters: Path, diagnoses: Path, patients: Path) -> pl.LazyFrame:
    """Each note with its department, its encounter's first-listed diagnosis and its patient's borough."""
    departments = pl.scan_parquet(encounters).select("encounter_id", admitted_to="department")
    first_listed = (
        pl.scan_parquet(diagnoses)
        .group_by("encounter_id")
        .agg(diagnosis=pl.col("icd_code").sort_by("sequence_number", "icd_code").first())
    )
    boroughs = pl.scan_parquet(patients).select("subject_id", "borough")
    return (
        rows.join(departments, on="encounter_id", how="left")
        .join(first_listed, on="encounter_id", how="left")
        .join(boroughs, on="subject_id", how="left")
        .with_columns(department=pl.coalesce("department", "admitted_to"))
    )


def top_of(rows: pl.LazyFrame, attribute: str) -> pl.DataFrame:
    """The top values of one attribute by group; of equals, the first by name."""
    counted = (
        rows.filter(pl.col(attribute).is_not_null())
        .group_by("note_group", value=pl.col(attribute))
        .agg(num_notes=pl.len())
        .collect(engine="streaming")
    )
    return (
        counted.with_columns(share=pl.col("num_notes") / pl.col("num_notes").sum().over("note_group"))
        .sort("note_group", "num_notes", "value", descending=[False, True, False])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("note_group"))
        .filter(pl.col("rank") <= TOP)
        .select("note_group", pl.lit(attribute).alias("attribute"), "rank", "value", "num_notes", "share")
    )
