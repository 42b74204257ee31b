"""Whatever kind of records brings a forgotten person: no table holds anything of them, and each of their rows is counted."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars as pl
import pytest

from lang1_assets.ops.forgetting.leaving_out import blank_rows
from lang1_assets.ops.forgetting.subjects import add_subjects, list_file
from lang1_assets.ops.sources.intake import flatten_source, source_layout
from lang1_assets.ops.sources.layout import source_tables
from tests.dbt_runs import PROJECT, Build, run_on_layout
from tests.fuzzed_fhir import as_line, fhir_resources, fhir_text
from tests.fuzzed_remittances import remittance
from tests.fuzzed_sources import NOTE_TABLES, NUM_ROWS, Plan
from tests.fuzzed_tables import planned_source

BUILT = ("run", "--select", "+intake_counts", "+staged_notes", "+patients", "+encounters", "+diagnoses", "+stg_claims")
AS_WRITTEN = Plan(
    form="csv", folder="", left_out=(), extra=(), is_reversed=False, damages=(), values=(), has_large_note=False
)
NOTES_OF = dict[str, tuple[str, str]]
"""Note -> person and text."""


def write_records(kind: str, folder: Path) -> NOTES_OF:
    if kind == "fhir":
        folder.mkdir(parents=True)
        of_people = [fhir_resources(number) for number in range(1, NUM_ROWS + 1)]
        for place, resource in enumerate(of_people[0]):
            lines = b"\n".join(as_line(resources[place]) for resources in of_people)
            (folder / f"{resource['resourceType']}.ndjson").write_bytes(lines)
        return {f"DocumentReference/d{n}": (f"p{n}", fhir_text(n)) for n in range(1, NUM_ROWS + 1)}
    source = planned_source(kind, {table.name: AS_WRITTEN for table in source_tables(PROJECT, kind)})
    source.write(folder)
    return dict(source.good_notes)


def built(kind: str, home: Path, *, forgotten: Path | None, remittances: Path | None = None) -> Build:
    """Without whoever is on the list of `forgotten`, where one is given."""
    flattened = home / "flattened"
    flattened.mkdir(parents=True)
    flatten_source(kind, home / "files", remittances, flattened)
    layout = source_layout(PROJECT, kind, home / "files", flattened, remittances)
    claims = {"claims_kind": "x12_835" if remittances else "source"}
    wide = {"minimum_plausible_date": "1750-01-01", "maximum_plausible_date": "2300-01-01"}
    without = {"forgotten_file": str(list_file(forgotten))} if forgotten else {}
    build = run_on_layout(layout, home, BUILT, kind=kind, **claims, **wide, **without)
    assert build.exit_code == 0, build.output[-4000:]
    counts = build.table("intake_counts")
    assert (counts["rows_in"] == counts["rows_out"] + counts["rows_rejected"]).all()
    return build


def everything(home: Path) -> str:
    """Every value of every table of the database, what SQL reads from Parquet among them."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as database:
        names = [f'"{schema}"."{name}"' for schema, name in database.sql(TABLES).fetchall()]
        assert len(names) > 10
        return "\n".join(str(database.sql(f"select * from {name}").fetchall()) for name in names)


def people_of(home: Path) -> set[str]:
    """Everybody that any table names."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as database:
        columns = database.sql(PEOPLE).fetchall()
        assert len(columns) > 10
        return {
            str(person)
            for schema, table, column in columns
            for (person,) in database.sql(f'select distinct "{column}" from "{schema}"."{table}"').fetchall()
        }


PEOPLE = """select table_schema, table_name, column_name from information_schema.columns
    where column_name in ('subject_id', 'person_id')"""
TABLES = "select table_schema, table_name from information_schema.tables"


@pytest.mark.parametrize("kind", [*NOTE_TABLES, "fhir"])
def test_no_table_holds_anything_of_them(kind: str, tmp_path: Path) -> None:
    notes = write_records(kind, tmp_path / "files")
    person = next(iter(notes.values()))[0]
    theirs = {note: text for note, (whose, text) in notes.items() if whose == person}
    add_subjects(tmp_path, [person])
    build = built(kind, tmp_path, forgotten=tmp_path)
    staged = build.table("staged_notes")
    assert set(staged["note_id"]) == set(notes) - set(theirs)
    assert set(theirs) & set(notes)
    held = everything(tmp_path)
    for note, text in theirs.items():
        assert json.dumps(text)[1:20] not in held
        assert repr(text)[1:30] not in held
        assert f"'{note}'" not in held
    assert person not in people_of(tmp_path)
    rejects = build.table("rejects").filter(pl.col("reason") == "forgotten")
    assert {"notes", "noteevents", "discharge", "note", "fhir_notes"} & set(rejects["source"])
    # Patient, stay, diagnosis and claim too, whatever the kind calls them.
    assert rejects["source"].n_unique() >= (5 if kind in ("tables", "fhir") else 4)
    if kind != "fhir":
        assert set(rejects["row_id"]) == {"(no key)"}


def test_nobody_else_is_missed(tmp_path: Path) -> None:
    """With a list of somebody who never came, everything is as without a list."""
    tables = {}
    add_subjects(tmp_path, ["nobody-by-this-id"])
    for name in ("without", "with"):
        write_records("tables", tmp_path / name / "files")
        build = built("tables", tmp_path / name, forgotten=tmp_path if name == "with" else None)
        tables[name] = [build.table(table) for table in ("staged_notes", "patients", "encounters", "rejects")]
    for first, second in zip(tables["without"], tables["with"], strict=True):
        assert first.equals(second)


def test_claims_from_remittances_go_with_the_stay(tmp_path: Path) -> None:
    notes = write_records("tables", tmp_path / "files")
    person = next(iter(notes.values()))[0]
    add_subjects(tmp_path, [person])
    (tmp_path / "835").mkdir()
    accounts = [f"E{number}" for number in range(1, NUM_ROWS + 1)]
    (tmp_path / "835" / "all.835").write_text("~".join([*remittance(accounts), ""]))
    build = built("tables", tmp_path, forgotten=tmp_path, remittances=tmp_path / "835")
    rejects = build.table("rejects").filter(pl.col("reason") == "forgotten")
    assert rejects.filter(pl.col("source") == "remittances").height == 1


def test_a_row_that_names_nobody_goes_with_its_stay(tmp_path: Path) -> None:
    """A note without a person is a reject, and its text would stay in the table as it was read."""
    notes = write_records("tables", tmp_path / "files")
    note, (person, text) = next(iter(notes.items()))
    for file in (tmp_path / "files").rglob("notes*.csv"):
        frame = pl.read_csv(file, infer_schema=False)
        nameless = pl.when(pl.col("note_id") != note).then("subject_id")
        frame.with_columns(subject_id=nameless).write_csv(file)
    add_subjects(tmp_path, [person])
    build = built("tables", tmp_path, forgotten=tmp_path)
    assert set(build.table("staged_notes")["note_id"]) == {one for one, (whose, _) in notes.items() if whose != person}
    held = everything(tmp_path)
    assert json.dumps(text)[1:20] not in held
    assert repr(text)[1:30] not in held
    assert f"'{note}'" not in held


def test_flattened_records_are_blanked_before_sql_reads_them(tmp_path: Path) -> None:
    notes = write_records("fhir", tmp_path / "files")
    flattened = tmp_path / "flattened"
    flattened.mkdir()
    flatten_source("fhir", tmp_path / "files", None, flattened)
    before = {file.name: pl.read_parquet(file) for file in flattened.glob("*.parquet")}
    gone = blank_rows(flattened, ["p2"])
    assert set(gone) == {f"fhir_{name}.parquet" for name in ("patients", "encounters", "notes", "conditions", "claims")}
    for name, frame in before.items():
        after = pl.read_parquet(flattened / name)
        theirs = after["reject_reason"].eq_missing("forgotten")
        assert after.columns == frame.columns
        assert after.schema == frame.schema
        assert int(theirs.sum()) == gone[name]
        assert after.filter(~theirs).equals(frame.filter(~theirs))
        blank = after.filter(theirs).drop("reject_reason", "source_line")
        assert all(blank[column].null_count() == len(blank) for column in blank.columns)
        assert after["source_line"].equals(frame["source_line"])
    texts = pl.read_parquet(flattened / "fhir_notes.parquet")["narrative"].drop_nulls().to_list()
    assert texts == [text for person, text in notes.values() if person != "p2"]
