from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from lang1_assets.ops.hospital import HospitalConfig, HospitalConfigError, write_exports, write_month_export
from lang1_assets.ops.hospital.dirt import PLACEHOLDERS
from lang1_assets.ops.hospital.notes import WRITTEN_TYPES
from lang1_assets.ops.schemas import EXPORT_COLUMNS, NOTE_TYPES, ORACLE
from lang1_assets.ops.tasks import TASKS
from tests.ops.hospital.conftest import SMALL, Export


def _duplicates(frame: pl.DataFrame) -> int:
    return frame.height - frame.unique().height


def test_tables_have_the_columns_of_the_contract(export: Export) -> None:
    for name, columns in EXPORT_COLUMNS.items():
        assert tuple(export.table(name).columns) == columns


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    config = HospitalConfig(num_encounters=400, seed=5)
    write_exports(tmp_path / "a", config)
    write_exports(tmp_path / "b", config)
    write_exports(tmp_path / "c", HospitalConfig(num_encounters=400, seed=6))
    names = [path.name for path in sorted((tmp_path / "a").iterdir())]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    assert (tmp_path / "a/encounters.csv").read_bytes() != (tmp_path / "c/encounters.csv").read_bytes()


def test_summary_and_files_agree(export: Export) -> None:
    for name in EXPORT_COLUMNS:
        assert export.table(name).height == export.summary.num_rows[name]
    assert json.loads((export.folder / "dirt.json").read_text()) == export.summary.dirt
    assert {f"notes-{year}.csv" for year in export.summary.num_notes_by_year} <= set(export.summary.files)


def test_encounters_without_added_rows_are_as_many_as_asked_for(export: Export) -> None:
    added = export.summary.dirt["encounters"]
    assert export.table("encounters").height - sum(added.values()) == SMALL.num_encounters


def test_planted_dirt_is_found_in_the_files(export: Export) -> None:
    dirt = export.summary.dirt
    encounters, notes = export.table("encounters"), export.table("notes")
    known = set(export.table("patients")["subject_id"])
    assert encounters.filter(~pl.col("subject_id").is_in(list(known))).height == dirt["encounters"]["orphan"]
    before = pl.col("discharge_time") < pl.col("admit_time")
    swapped = encounters.filter(before & pl.col("encounter_id").str.ends_with("S"))
    assert swapped.height == dirt["encounters"]["discharge_before_admission"]
    for name, table in (("encounters", encounters), ("notes", notes), ("claims", export.table("claims"))):
        assert _duplicates(table) == dirt[name]["duplicate_row"]
    orphans = notes.filter(~pl.col("encounter_id").is_in(encounters["encounter_id"].to_list()))
    assert orphans.height == dirt["notes"]["orphan"]
    distinct = notes.unique().filter(~pl.col("note_id").str.contains("[QT]$"))
    placeholders = distinct.filter(pl.col("narrative").str.contains_any(list(PLACEHOLDERS)))
    assert placeholders.height == dirt["notes"]["placeholder"]
    short = distinct.filter(pl.col("narrative").str.split(" ").list.len() == 2)
    assert short.height == dirt["notes"]["two_words"]
    bad = export.table("diagnoses").filter(~pl.col("sequence_number").str.contains(r"^\d+$"))
    assert bad.height == dirt["diagnoses"]["bad_number"]


def test_no_dirt_when_none_is_asked_for(tmp_path: Path) -> None:
    summary = write_exports(tmp_path, HospitalConfig(num_encounters=300, dirt_rate=0.0))
    assert not any(summary.dirt.values())
    assert summary.num_rows["encounters"] == 300


def test_every_kind_of_note_is_written_in_time(export: Export) -> None:
    notes = export.table("notes").filter(~pl.col("note_id").str.contains("[QT]$"))
    assert set(notes["note_type"]) == set(WRITTEN_TYPES) <= set(NOTE_TYPES)
    joined = notes.join(export.table("encounters").unique(), on="encounter_id")
    written, admitted = (joined[name].str.to_datetime() for name in ("written_time", "admit_time"))
    discharged = joined["discharge_time"].str.to_datetime()
    assert ((written >= admitted) & (written <= discharged)).all()
    is_hp = joined["note_type"] == "hp"
    assert ((written - admitted).dt.total_hours().filter(is_hp) < 24).all()


def test_the_dead_have_no_discharge_note_and_do_not_come_back(export: Export) -> None:
    encounters = export.table("encounters").filter(~pl.col("encounter_id").str.contains("[QTS]$")).unique()
    dead = encounters.filter(pl.col("discharge_disposition") == "Expired")
    notes = export.table("notes").filter(pl.col("encounter_id").is_in(dead["encounter_id"].to_list()))
    assert dead.height
    assert "discharge" not in set(notes["note_type"])
    later = encounters.join(dead.select("subject_id", died="discharge_time"), on="subject_id")
    assert not (later["admit_time"] > later["died"]).any()


def test_oracle_has_the_schema_and_probabilities(export: Export) -> None:
    table = pq.read_table(export.folder / "oracle.parquet")
    assert table.schema == ORACLE
    oracle = pl.DataFrame(pl.from_arrow(table))
    for name, task in TASKS.items():
        rows = np.array(oracle.filter(pl.col("task") == name)["probabilities"].to_list())
        assert rows.shape[1] == task.num_classes
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, atol=1e-9)


def test_month_export_is_dated_and_its_ids_are_its_own(export: Export, tmp_path: Path) -> None:
    write_month_export(tmp_path, SMALL, 2025, 2)
    encounters = pl.read_csv(tmp_path / "encounters.csv", infer_schema=False)
    clean = encounters.filter(~pl.col("encounter_id").str.contains("[QTS]$"))
    in_month = clean["discharge_time"].str.starts_with("2025-02")
    followed_up = clean["admit_time"].str.contains("^2025-0[234]")
    assert (in_month | followed_up).all()
    assert in_month.sum() >= 40
    assert not set(encounters["encounter_id"]) & set(export.table("encounters")["encounter_id"])
    notes = pl.read_csv(tmp_path / "notes-2025.csv", infer_schema=False)
    assert tuple(notes.columns) == EXPORT_COLUMNS["notes"]
    assert not set(notes["note_id"]) & set(export.table("notes")["note_id"])


@pytest.mark.parametrize(("year", "month"), [(2024, 5), (2025, 13)])
def test_month_export_refuses_months_that_it_cannot_write(tmp_path: Path, year: int, month: int) -> None:
    with pytest.raises(ValueError, match=f"{year}-{month}"):
        write_month_export(tmp_path, SMALL, year, month)


def test_config_reports_all_problems_at_once() -> None:
    with pytest.raises(HospitalConfigError, match=r"num_encounters.*site.*dirt_rate"):
        HospitalConfig(num_encounters=1, site="elsewhere", dirt_rate=0.9)


def test_the_external_hospital_is_another_one(export: Export, tmp_path: Path) -> None:
    summary = write_exports(tmp_path, HospitalConfig(num_encounters=1_500, site="external"))
    other = Export(tmp_path, summary)
    own, theirs = export.table("encounters"), other.table("encounters")
    assert not set(own["encounter_id"]) & set(theirs["encounter_id"])
    assert "Internal Medicine" not in set(theirs["department"])
    died = [(table["discharge_disposition"] == "Expired").mean() for table in (own, theirs)]
    assert died[1] > 1.3 * died[0]
