"""What the clinical corpus holds: patients, notes, words; top departments, diagnoses and boroughs (paper appendix G)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

TOP = 5
GROUPS = {"hp": "hospital", "discharge": "hospital", "progress": "hospital"}
"""Note type -> the three groups of Fig. G7; radiology and pathology are their own."""


def corpus_statistics(
    notes: Path, encounters: Path, diagnoses: Path, patients: Path
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Totals by group, and the top five values of each attribute with their share of the group's notes.

    Args:
        notes: a pattern of Parquet files of `schemas.CLEAN_NOTES`.
        encounters, diagnoses, patients: the staged tables.

    Returns:
        `totals` (note_group, num_patients, num_notes, num_words, and a row "all") and `top` (note_group, attribute, rank,
        value, num_notes, share).
    """
    frame = (
        pl.scan_parquet(notes)
        .select(
            "note_id",
            "encounter_id",
            "subject_id",
            "department",
            "num_words",
            note_group=pl.col("note_type").replace(GROUPS),
        )
        .collect()
    )
    return totals_of(frame), top_of(with_attributes(frame, diagnoses, patients))


def totals_of(frame: pl.DataFrame) -> pl.DataFrame:
    measures = [
        pl.col("subject_id").n_unique().alias("num_patients"),
        pl.len().alias("num_notes"),
        pl.col("num_words").cast(pl.Int64).sum().alias("num_words"),
    ]
    by_group = frame.group_by("note_group").agg(measures).sort("note_group")
    return pl.concat([by_group, frame.select(pl.lit("all").alias("note_group"), *measures)])


def with_attributes(frame: pl.DataFrame, diagnoses: Path, patients: Path) -> pl.DataFrame:
    """Each note with its encounter's first-listed diagnosis and its patient's borough."""
    first = (
        pl.read_parquet(diagnoses, columns=["encounter_id", "sequence_number", "icd_code"])
        .sort("encounter_id", "sequence_number", "icd_code")
        .unique("encounter_id", keep="first", maintain_order=True)
        .select("encounter_id", diagnosis="icd_code")
    )
    boroughs = pl.read_parquet(patients, columns=["subject_id", "borough"])
    return frame.join(first, on="encounter_id", how="left").join(boroughs, on="subject_id", how="left")


def top_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Notes without a value are left out of the share, as in the figure ("with specified departments")."""
    parts = []
    for attribute in ("department", "diagnosis", "borough"):
        known = frame.filter(pl.col(attribute).is_not_null())
        counted = known.group_by("note_group", value=pl.col(attribute)).agg(num_notes=pl.len())
        ranked = (
            counted.with_columns(share=pl.col("num_notes") / pl.col("num_notes").sum().over("note_group"))
            .sort("note_group", "num_notes", "value", descending=[False, True, False])
            .with_columns(rank=pl.int_range(1, pl.len() + 1).over("note_group"))
            .filter(pl.col("rank") <= TOP)
        )
        parts.append(
            ranked.select("note_group", pl.lit(attribute).alias("attribute"), "rank", "value", "num_notes", "share")
        )
    return pl.concat(parts)
