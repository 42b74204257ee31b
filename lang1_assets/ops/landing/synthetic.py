"""Monthly exports of the embedded hospital as a hospital sends them: what had happened by the end of the month, and no more.

The simulator knows a month's returns before they happen (`write_month_export`). Here whoever comes back after the end of the
month stands in the export of the month in which that was, and who is still in the hospital has no discharge yet and stands in
the next export again. A claim whose status changes later stands again, with its stay and its person, in the export of each
month in which it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lang1_assets.ops.hospital import HospitalConfig, write_month_export
from lang1_assets.ops.hospital.encounters import build_month
from lang1_assets.ops.hospital.tables import clean_tables, random_numbers
from lang1_assets.ops.landing.manifest import Manifest, write_manifest
from lang1_assets.ops.landing.months import day_after, first_day

FIRST_MONTH = "2025-01"
EARLIER_MONTHS = 4
"""Months of which something can still happen: a claim has its last status up to 98 days after the discharge, and who comes back
within 30 days may stay for some weeks."""


@dataclass(frozen=True, kw_only=True)
class CarriedOver:
    """What an export has of the patients of earlier months."""

    encounters: pl.DataFrame
    patients: pl.DataFrame
    claims: pl.DataFrame


def write_export(folder: Path, config: HospitalConfig, month: str) -> Manifest:
    """Write one export, its manifest last.

    Raises:
        ValueError: the month lies before 2025.
    """
    day = first_day(month)
    write_month_export(folder, config, day.year, day.month)
    known = pl.read_csv(folder / "encounters.csv", infer_schema=False)
    people = pl.read_csv(folder / "patients.csv", infer_schema=False)
    claims = pl.read_csv(folder / "claims.csv", infer_schema=False)
    parts = [carried_over(config, earlier, month) for earlier in earlier_months(month)]
    encounters = pl.concat(
        [known.filter(pl.col("admit_time") < str(day_after(month))), *(one.encounters for one in parts)]
    )
    as_of(encounters, month).write_csv(folder / "encounters.csv")
    pl.concat([people, *(one.patients for one in parts)]).write_csv(folder / "patients.csv")
    pl.concat([known_claims(claims, month), *(one.claims for one in parts)]).write_csv(folder / "claims.csv")
    return write_manifest(folder, month)


def earlier_months(month: str) -> Iterator[str]:
    """
    >>> list(earlier_months("2025-03"))
    ['2025-02', '2025-01']
    """
    for _ in range(EARLIER_MONTHS):
        day = first_day(month)
        month = f"{day.year - (day.month == 1):04d}-{(day.month - 2) % 12 + 1:02d}"
        if month < FIRST_MONTH:
            return
        yield month


def carried_over(config: HospitalConfig, earlier: str, month: str) -> CarriedOver:
    """Those of an earlier month's patients who are in the hospital in `month`, who came back then or stay on, and those whose
    claims changed."""
    day = first_day(earlier)
    hospital = build_month(config, day.year, day.month)
    tables = clean_tables(hospital, random_numbers(hospital))
    claims = known_claims(tables["claims"], month)
    changed = claims.filter(pl.col("status_time") >= str(first_day(month)))
    claims = claims.join(changed, on="claim_id", how="semi")
    is_there = (pl.col("admit_time") < str(day_after(month))) & (pl.col("discharge_time") >= str(first_day(month)))
    has_changed = pl.col("encounter_id").is_in(changed["encounter_id"].to_list())
    encounters = tables["encounters"].filter(is_there | has_changed)
    patients = tables["patients"].join(encounters, on="subject_id", how="semi")
    return CarriedOver(encounters=encounters, patients=patients, claims=claims)


def known_claims(claims: pl.DataFrame, month: str) -> pl.DataFrame:
    """What had become of claims by the end of the month."""
    return claims.filter(pl.col("status_time") < str(day_after(month)))


def as_of(encounters: pl.DataFrame, month: str) -> pl.DataFrame:
    """Who is discharged after the end of the month is still in the hospital."""
    is_over = pl.col("discharge_time") < str(day_after(month))
    unknown = [pl.when(is_over).then(pl.col(name)).alias(name) for name in ("discharge_time", "discharge_disposition")]
    return encounters.with_columns(unknown)
