"""The labelled notes of one landed month, from tables that later months' records were joined to.

A stay belongs to the month of its discharge, whichever exports hold it, so it is counted once. A note without a stay that has
ended belongs to the month in which it was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from lang1_assets.ops.checksums import sha256_of
from lang1_assets.ops.labeling import join_text, missing_inputs, write_examples
from lang1_assets.ops.landing.months import day_after, first_day
from lang1_assets.ops.tasks import Task

NOTES_FILE = "notes_of_the_month.parquet"
STAY_TABLES = {
    "tables": ("encounters", "encounter_id"),
    "mimic_iii": ("admissions", "hadm_id"),
    "mimic_iv": ("admissions", "hadm_id"),
    "omop": ("visit_occurrence", "visit_occurrence_id"),
    "fhir": ("fhir_encounters", "encounter_id"),
}
"""Kind of source -> the table of stays and its key."""
Parts = Mapping[str, Sequence[Mapping[str, Any]]]
"""Table -> its parts, as in `SourceLayout.parts`."""


@dataclass(frozen=True, kw_only=True)
class MonthNotes:
    """The notes of one month among those that were staged; plain counts."""

    num_staged: int
    num_of_month: int
    num_of_other_months: int
    """Of stays that ended in another month: returns, and what was joined for follow-up."""


def joined_parts(exports: Sequence[Parts]) -> dict[str, list[Mapping[str, Any]]]:
    """One layout of several exports, each part with the number of its export.

    Of equal keys the first is kept, and of a claim the rows of the lowest number: the latest export must come first.
    """
    tables = dict.fromkeys(name for parts in exports for name in parts)
    numbered = list(enumerate(exports, start=1))
    return {
        name: [{**part, "export": number} for number, parts in numbered for part in parts.get(name, ())]
        for name in tables
    }


def stays_of_month(encounters: Path, month: str) -> pl.LazyFrame:
    """`encounter_id` of each stay that ended in a month."""
    in_month = pl.col("discharge_time").dt.date().is_between(first_day(month), day_after(month), closed="left")
    return pl.scan_parquet(encounters).filter(in_month).select("encounter_id")


def keep_month(tables: Path, month: str, output: Path) -> MonthNotes:
    """Write the staged notes of a month, for cleaning; how many there are."""
    notes = pl.scan_parquet(tables / "staged_notes.parquet")
    ended = pl.scan_parquet(tables / "encounters.parquet").filter(pl.col("discharge_time").is_not_null())
    days = ended.select("encounter_id", discharged="discharge_time")
    day = pl.coalesce("discharged", "written_time").dt.date()
    is_of_month = day.is_between(first_day(month), day_after(month), closed="left")
    dated = notes.join(days, on="encounter_id", how="left").with_columns(is_of_month=is_of_month)
    dated.filter("is_of_month").drop("discharged", "is_of_month").sort("note_id").sink_parquet(output)
    others = dated.filter(~pl.col("is_of_month"))
    num_staged, num_kept, num_others = (
        int(frame.select(pl.len()).collect().item()) for frame in (notes, pl.scan_parquet(output), others)
    )
    return MonthNotes(num_staged=num_staged, num_of_month=num_kept, num_of_other_months=num_others)


def write_task(tables: Path, notes: Path, task: Task, month: str, output: Path) -> dict[str, Any]:
    """The labelled notes of one task that belong to the month, and what became of all the others.

    Args:
        notes: pattern of the files of clean notes.

    Returns:
        `n`, `positive` (of a question with two answers), `labels` (number of notes of each), `reason` (why there is nothing
        to measure; None where there is) and what was left out.
    """
    cohort = tables / f"cohort_{task.name}.parquet"
    of_month = output.with_suffix(".cohort")
    labelled = pl.scan_parquet(cohort)
    labelled.join(stays_of_month(tables / "encounters.parquet", month), on="encounter_id", how="semi").sink_parquet(
        of_month
    )
    joined = join_text(of_month, notes)
    of_month.unlink()
    write_examples(joined.examples, output)
    labels = [joined.examples.filter(pl.col("label") == label).height for label in range(task.num_classes)]
    num = len(joined.examples)
    return {
        "ripe": True,
        "n": num,
        "positive": labels[1] if task.num_classes == 2 else None,
        "labels": labels,
        "reason": missing_inputs(tables / "task_inputs.parquet", task) or nothing_to_measure(labels),
        "without_clean_text": joined.num_without_text,
        "of_other_months": int(labelled.select(pl.len()).collect().item()) - num - joined.num_without_text,
        "sha256": sha256_of(output),
    }


def nothing_to_measure(labels: Sequence[int]) -> str | None:
    """Why there is no AUROC: nobody to compare with."""
    classes = sum(number > 0 for number in labels)
    return None if classes > 1 else "no labelled notes" if classes == 0 else "one class only: nothing to compare with"


def rejects_by_reason(paths: Sequence[Path]) -> dict[str, int]:
    """`TABLE: REASON` -> rows, of files of `schemas.REJECTS`."""
    found = pl.concat([pl.read_parquet(path, columns=["source", "reason"]) for path in paths])
    counted = found.group_by("source", "reason").len().sort("source", "reason")
    return {f"{source}: {reason}": number for source, reason, number in counted.iter_rows()}


def num_stays_in_several(exports: Sequence[Parts], kind: str, encoding: str, encounters: Path, month: str) -> int:
    """Stays of the month that stand in more than one export: each was counted once, as the latest export has it."""
    table, key = STAY_TABLES[kind]
    with duckdb.connect() as connection:
        ids = [stay_ids(connection, parts.get(table, ()), key, encoding) for parts in exports]
    several = pl.concat([frame.unique() for frame in ids]).group_by("encounter_id").len().filter(pl.col("len") > 1)
    found = several.lazy().join(stays_of_month(encounters, month), on="encounter_id", how="semi")
    return int(found.select(pl.len()).collect().item())


def stay_ids(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[Mapping[str, Any]], key: str, encoding: str
) -> pl.DataFrame:
    """`encounter_id` of every row of a table that can be read; lines that cannot are counted as rejects elsewhere."""
    frames = [pl.DataFrame(schema={"encounter_id": pl.String})]
    for part in parts:
        place = next(number for number, name in enumerate(part["columns"]) if name.lower() == key)
        for file in part["files"]:
            if part["format"] == "parquet":
                column = pl.col(part["columns"][place]).cast(pl.String)
                frames.append(pl.scan_parquet(file).select(encounter_id=column).collect())
            else:
                frames.append(csv_column(connection, file, place, len(part["columns"]), encoding))
    return pl.concat(frames).drop_nulls()


def csv_column(
    connection: duckdb.DuckDBPyConnection, file: str, place: int, num_columns: int, encoding: str
) -> pl.DataFrame:
    """One column of a CSV file as `encounter_id`, read as the SQL project reads it."""
    names = ["encounter_id" if number == place else f"column_{number}" for number in range(num_columns)]
    # In SQL: the method of that name takes no other encoding than UTF-8.
    query = """
        select encounter_id
        from read_csv(
            ?, encoding = ?, columns = ?, header = true, delim = ',', quote = '"', escape = '"',
            auto_detect = false, ignore_errors = true
        )
    """
    return connection.sql(query, params=[file, encoding, dict.fromkeys(names, "VARCHAR")]).pl()
