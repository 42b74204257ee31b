"""What the tables of the warehouse say of a note's patient at the note's prediction time, and nothing that came later.

Left out on purpose: the disposition and the end of the stay, its own ICD codes (coded after the discharge), and its department,
which two sources (MIMIC-III and MIMIC-IV) take from the last service of the stay; the note's own department is as old as the note.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

CODING_DAYS = 7
"""Codes of a stay count this long after its discharge: nobody codes on the day."""
YEAR_DAYS = 365
NOT_RECORDED = "not recorded"

NUMBERS = (
    "age",
    "hours_since_admission",
    "num_earlier_stays",
    "num_stays_in_a_year",
    "days_since_last_stay",
    "days_in_hospital_before",
    "earlier_charlson_score",
)
"""Null where nothing is known: no earlier stay, or none that was coded."""
CATEGORIES = (
    "sex",
    "race",
    "ethnicity",
    "borough",
    "note_department",
    "admission_type",
    "admission_weekday",
    "admission_time_of_day",
)
"""Text, `NOT_RECORDED` where nothing is known."""
ENCOUNTERS = ["encounter_id", "subject_id", "encounter_class", "admit_time", "discharge_time", "admission_type"]
OF_THE_NOTE = ["note_id", "encounter_id", "subject_id", "prediction_time"]
OF_THE_PATIENT = ["age", "sex", "race", "ethnicity", "borough"]


class StructuredError(ValueError):
    """The tables do not know a note that the cohort has."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What the features are read from."""

    folder: Path
    """Of the warehouse's tables."""
    stay_classes: tuple[str, ...]
    """Encounter classes that are hospital stays, as the cohorts have it: visits of a clinic, say, are no part of a history."""


def structured_features(cohort: pl.DataFrame, tables: Tables) -> pl.DataFrame:
    """`note_id`, `NUMBERS` and `CATEGORIES` of each row of a cohort, in its order.

    Args:
        cohort: rows of `schemas.COHORT`, with or without text.

    Raises:
        StructuredError: a note's stay is not among the encounters.
    """
    encounters = pl.read_parquet(tables.folder / "encounters.parquet", columns=ENCOUNTERS)
    scores = pl.read_parquet(tables.folder / "charlson_scores.parquet")
    departments = pl.read_parquet(tables.folder / "staged_notes.parquet", columns=["note_id", "department"])
    asked = cohort.select(OF_THE_NOTE)
    stays = encounters.filter(pl.col("encounter_class").is_in(list(tables.stay_classes)))
    # The note's own encounter may be of another class where a task of the hospital's own asks about others.
    columns = [admission(asked, encounters), history(asked, stays, scores)]
    frame = cohort.select("note_id", *OF_THE_PATIENT)
    for part in columns:
        frame = frame.join(part, on="note_id", how="left", maintain_order="left", validate="1:1")
    named = departments.rename({"department": "note_department"})
    frame = frame.join(named, on="note_id", how="left", maintain_order="left", validate="1:1")
    return frame.select(
        "note_id",
        pl.col(list(NUMBERS)).cast(pl.Float64),
        pl.col(list(CATEGORIES)).cast(pl.String).fill_null(NOT_RECORDED),
    )


def admission(asked: pl.DataFrame, encounters: pl.DataFrame) -> pl.DataFrame:
    """Of the note's own stay what is known on admission; nothing where the note is older than the admission.

    Raises:
        StructuredError: a stay is not there.
    """
    own = encounters.select("encounter_id", "admit_time", "admission_type")
    frame = asked.join(own, on="encounter_id", how="left", maintain_order="left")
    lost = frame.filter(pl.col("admit_time").is_null())
    if not lost.is_empty():
        raise StructuredError(
            f"encounters: no admission of encounter {lost['encounter_id'][0]}, whose note {lost['note_id'][0]} is in the "
            "cohort; build the tables of the warehouse and the examples together"
        )
    is_begun = pl.col("admit_time") <= pl.col("prediction_time")
    quarter = pl.col("admit_time").dt.hour() // 6 * 6
    known = {
        "hours_since_admission": days("prediction_time", "admit_time") * 24,
        "admission_type": pl.col("admission_type"),
        "admission_weekday": pl.col("admit_time").dt.to_string("%A"),
        "admission_time_of_day": pl.format("{} to {} h", quarter, quarter + 6),
    }
    return frame.select("note_id", **{name: pl.when(is_begun).then(value) for name, value in known.items()})


def history(asked: pl.DataFrame, stays: pl.DataFrame, scores: pl.DataFrame) -> pl.DataFrame:
    """Other stays of the patient that had begun at prediction time: how many, how long ago, how ill (Charlson)."""
    others = stays.join(scores, on="encounter_id", how="left").rename({"encounter_id": "other_encounter_id"})
    pairs = asked.lazy().join(others.lazy(), on="subject_id")
    ended = pl.when(pl.col("discharge_time") <= pl.col("prediction_time")).then("discharge_time")
    earlier = pairs.filter(
        pl.col("other_encounter_id") != pl.col("encounter_id"), pl.col("admit_time") < pl.col("prediction_time")
    ).with_columns(ended=ended, days_ago=days("prediction_time", "admit_time"))
    is_coded = days("prediction_time", "ended") >= CODING_DAYS
    counted = earlier.group_by("note_id").agg(
        num_earlier_stays=pl.len(),
        num_stays_in_a_year=(pl.col("days_ago") <= YEAR_DAYS).sum(),
        days_since_last_stay=days("prediction_time", pl.coalesce("ended", "admit_time")).min(),
        # Whole seconds: a sum of fractions has other last digits in another order of the rows.
        days_in_hospital_before=(pl.col("ended") - pl.col("admit_time")).dt.total_seconds().sum() / 86_400,
        earlier_charlson_score=pl.col("charlson_score").filter(is_coded).max(),
    )
    none = ["num_earlier_stays", "num_stays_in_a_year", "days_in_hospital_before"]
    found = asked.lazy().select("note_id").join(counted, on="note_id", how="left")
    return found.with_columns(pl.col(none).fill_null(0)).collect()


def days(later: str | pl.Expr, earlier: str | pl.Expr) -> pl.Expr:
    """Days, with fractions, from one time to another."""
    first, last = (pl.col(name) if isinstance(name, str) else name for name in (earlier, later))
    return (last - first).dt.total_seconds() / 86_400
