"""A handful of patients with stays before, around and after a labelled note. Synthetic."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from lang1_assets.ops.baselines.structured import Tables

NOW = datetime(2020, 6, 10, 12)
TIMES = pl.Datetime("us")


def stay(
    name: str,
    patient: str,
    admitted: datetime,
    days: float | None,
    kind: str | None = "emergency",
    encounter_class: str = "inpatient",
) -> dict[str, Any]:
    end = None if days is None else admitted + timedelta(days=days)
    return {
        "encounter_id": name,
        "subject_id": patient,
        "encounter_class": encounter_class,
        "admit_time": admitted,
        "discharge_time": end,
        "admission_type": kind,
        "department": "Last Service",
        "discharge_disposition": "Expired",
    }


def write_tables(
    folder: Path,
    stays: list[dict[str, Any]],
    scores: dict[str, int] | None = None,
    departments: dict[str, str | None] | None = None,
    stay_classes: tuple[str, ...] = ("inpatient",),
) -> Tables:
    folder.mkdir(exist_ok=True)
    encounters = pl.DataFrame(
        stays, schema_overrides={"admit_time": TIMES, "discharge_time": TIMES, "admission_type": pl.String}
    )
    encounters.write_parquet(folder / "encounters.parquet")
    found = scores or {}
    pl.DataFrame(
        {"encounter_id": list(found), "charlson_score": list(found.values())},
        schema={"encounter_id": pl.String, "charlson_score": pl.Int32},
    ).write_parquet(folder / "charlson_scores.parquet")
    known = departments or {}
    pl.DataFrame(
        {"note_id": list(known), "department": list(known.values())},
        schema={"note_id": pl.String, "department": pl.String},
    ).write_parquet(folder / "staged_notes.parquet")
    return Tables(folder=folder, stay_classes=stay_classes)


def cohort(*notes: tuple[str, str, str, datetime], age: int | None = 60) -> pl.DataFrame:
    """(note, encounter, patient, prediction time)."""
    rows = [
        {
            "note_id": note,
            "encounter_id": encounter,
            "subject_id": patient,
            "prediction_time": time,
            "age": age,
            "sex": "F",
            "race": None,
            "ethnicity": "Unknown",
            "borough": "Queens",
        }
        for note, encounter, patient, time in notes
    ]
    return pl.DataFrame(rows, schema_overrides={"prediction_time": TIMES, "race": pl.String, "age": pl.Int32})
