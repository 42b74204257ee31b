"""Leaving people out of what this project itself writes before SQL reads it: the embedded hospital, flattened records, months
that were fetched.

A hospital's own tables are left as they are, and SQL leaves the people out (`is_forgotten` of dbt_notes).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lang1_assets.ops.forgetting.removal import UnreadableError, thin_file
from lang1_assets.ops.forgetting.resources import thin_resources
from lang1_assets.ops.forgetting.search import (
    ENCOUNTER_COLUMNS,
    SUBJECT_COLUMNS,
    Identifiers,
    data_files,
    find_identifiers,
    find_in_folder,
)

REASON = "forgotten"
REJECT_COLUMN, LINE_COLUMN = "reject_reason", "source_line"
REMITTANCES = "remittances"
"""X12 835: the account number of a claim is the encounter's id."""


def remove_rows(folder: Path, subjects: Sequence[str]) -> dict[str, int]:
    """Take everybody's rows out of the embedded hospital's files, as a hospital deletes at the source.

    Returns:
        File -> rows that went. Files without any of theirs are not touched.
    """
    if not subjects:
        return {}
    stays = _stays(folder / "encounters.csv", subjects)
    counts = {}
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.parquet")]):
        frame = pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)
        theirs = _theirs(frame, path, subjects, stays)
        if theirs.any():
            counts[path.name] = int(theirs.sum())
            kept = frame.filter(~theirs)
            kept.write_csv(path) if path.suffix == ".csv" else kept.write_parquet(path)
    return counts


def thin_files(folder: Path, subjects: Sequence[str]) -> dict[str, int]:
    """Take everybody's rows and resources out of the files of an export, whatever kind of records they are.

    Returns:
        File -> rows or lines that went. A table that cannot be written again as it was stays as it came: SQL leaves the people out.
    """
    if not subjects:
        return {}
    asked = Identifiers(subjects=frozenset(subjects))
    who = asked | find_identifiers(data_files(folder), subjects)[0]
    counts = thin_resources(folder, subjects)
    for found in find_in_folder(folder, who):
        try:
            thin_file(found.file, who)
        except UnreadableError:
            continue
        counts[str(found.file.relative_to(folder))] = found.num_rows
    return counts


def blank_rows(folder: Path, subjects: Sequence[str]) -> dict[str, int]:
    """In flattened records each row of theirs stays as a reject with its file and line, and nothing else of it.

    Returns:
        File -> rows that were blanked.
    """
    if not subjects:
        return {}
    stays = _stays(folder / "fhir_encounters.parquet", subjects)
    counts = {}
    for path in sorted(folder.glob("*.parquet")):
        frame = pl.read_parquet(path)
        if REJECT_COLUMN not in frame.columns:
            continue
        theirs = _theirs(frame, path, subjects, stays)
        if theirs.any():
            counts[path.name] = int(theirs.sum())
            held = [pl.col(name) for name in frame.columns if name not in (REJECT_COLUMN, LINE_COLUMN)]
            blanked = frame.with_columns(
                *(pl.when(~theirs).then(column) for column in held),
                pl.when(theirs).then(pl.lit(REASON)).otherwise(pl.col(REJECT_COLUMN)).alias(REJECT_COLUMN),
            )
            blanked.write_parquet(path)
    return counts


def _stays(path: Path, subjects: Sequence[str]) -> list[str]:
    if not path.exists():
        return []
    frame = pl.read_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.read_parquet(path)
    return frame.filter(pl.col("subject_id").is_in(list(subjects)))["encounter_id"].drop_nulls().unique().to_list()


def _theirs(frame: pl.DataFrame, path: Path, subjects: Sequence[str], stays: Sequence[str]) -> pl.Series:
    """True for a row of a person, or of a stay of theirs where it names nobody else."""
    people = [name for name in SUBJECT_COLUMNS if name in frame.columns]
    visits = [name for name in ENCOUNTER_COLUMNS if name in frame.columns]
    visits += ["claim_id"] if path.stem == REMITTANCES else []
    conditions = [pl.col(name).is_in(list(subjects)) for name in people] + [
        pl.col(name).is_in(list(stays)) for name in visits
    ]
    if not conditions:
        return pl.Series([False] * len(frame), dtype=pl.Boolean)
    return frame.select(pl.any_horizontal(condition.fill_null(False) for condition in conditions)).to_series()
