"""Writing an export: CSV files, the oracle, and the list of planted dirt."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from lang1_assets.ops.hospital import tables
from lang1_assets.ops.hospital.config import ExportSummary, HospitalConfig
from lang1_assets.ops.hospital.dirt import soil
from lang1_assets.ops.hospital.encounters import Hospital, build_hospital, build_month
from lang1_assets.ops.hospital.notes import note_chunks, plan_notes
from lang1_assets.ops.schemas import EXPORT_COLUMNS, ORACLE


def say_nothing(message: str) -> None:
    """Progress that nobody asked for."""


def write_exports(
    folder: Path, config: HospitalConfig, on_progress: Callable[[str], None] = say_nothing
) -> ExportSummary:
    """Write the synthetic hospital's exports of 2003 to 2024.

    Args:
        folder: Made if needed. Gets `patients.csv`, `encounters.csv`, `notes-YYYY.csv`, `diagnoses.csv`, `claims.csv`
            (`schemas.EXPORT_COLUMNS`), `oracle.parquet` (`schemas.ORACLE`) and `dirt.json` (table, kind, rows).
        config: Size, seed, site and share of dirt.
        on_progress: Called with a line whenever a part is written.
    """
    on_progress(f"synthetic hospital: simulating {config.num_encounters:,} admissions")
    return _write(folder, build_hospital(config), on_progress)


def write_month_export(
    folder: Path,
    config: HospitalConfig,
    year: int,
    month: int,
    on_progress: Callable[[str], None] = say_nothing,
) -> ExportSummary:
    """Write a later dated export: the encounters that end in one month, and the returns within 30 days of them.

    Everything is as in `write_exports`. The ids hold the month, so that they never collide with another export's. The
    size is that of a common month of 2024 in a hospital of `config.num_encounters` admissions.

    Raises:
        ValueError: if the month does not exist or lies before 2025.
    """
    if not 1 <= month <= 12 or year < 2025:
        raise ValueError(
            f"month export: found {year}-{month}; expected a month from 2025-01 on, as 2024 is in the main export"
        )
    return _write(folder, build_month(config, year, month), on_progress)


def _write(folder: Path, hospital: Hospital, on_progress: Callable[[str], None]) -> ExportSummary:
    folder.mkdir(parents=True, exist_ok=True)
    rate, rng = hospital.config.dirt_rate, tables.random_numbers(hospital)
    num_rows, dirt = {}, {}
    for name, clean in tables.clean_tables(hospital, rng).items():
        frame, dirt[name] = soil(name, clean, rate, rng)
        frame.select(EXPORT_COLUMNS[name]).write_csv(folder / f"{name}.csv")
        num_rows[name] = frame.height
        on_progress(f"synthetic hospital: {name}.csv, {frame.height:,} rows")
    num_notes, dirt["notes"] = _write_notes(folder, hospital, rng, on_progress)
    _write_oracle(folder, hospital)
    (folder / "dirt.json").write_text(json.dumps(dirt, indent=2, sort_keys=True) + "\n")
    return ExportSummary(
        folder=folder,
        num_rows={**num_rows, "notes": sum(num_notes.values())},
        num_notes_by_year=num_notes,
        dirt=dirt,
        files=sorted(path.name for path in folder.iterdir() if path.is_file()),
    )


def _write_notes(
    folder: Path, hospital: Hospital, rng: np.random.Generator, on_progress: Callable[[str], None]
) -> tuple[dict[int, int], dict[str, int]]:
    """Rows a year, and spoiled rows a kind."""
    num_rows: Counter[int] = Counter()
    dirt: Counter[str] = Counter()
    for year, clean in note_chunks(hospital, plan_notes(hospital, rng)):
        frame, counts = soil("notes", clean, hospital.config.dirt_rate, rng)
        with (folder / f"notes-{year}.csv").open("ab" if year in num_rows else "wb") as file:
            frame.select(EXPORT_COLUMNS["notes"]).write_csv(file, include_header=year not in num_rows)
        if year not in num_rows:
            on_progress(f"synthetic hospital: notes-{year}.csv")
        num_rows[year] += frame.height
        dirt.update(counts)
    return dict(num_rows), dict(dirt)


def _write_oracle(folder: Path, hospital: Hospital) -> None:
    pq.write_table(
        tables.oracle_table(hospital).to_arrow(compat_level=pl.CompatLevel.oldest()).cast(ORACLE),
        folder / "oracle.parquet",
    )
