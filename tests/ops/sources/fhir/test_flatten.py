from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from lang1_assets.ops.sources.fhir import FhirError, flatten_fhir, tables
from lang1_assets.ops.sources.fhir import lines as export_lines
from lang1_assets.ops.sources.fhir.tables import TABLE_OF_TYPE, TABLES, type_of_name
from tests.dbt_runs import PROJECT
from tests.ops.sources.fhir.builders import (
    ENCOUNTER,
    PATIENT,
    Files,
    Json,
    amount_of,
    attachment_of,
    binary_of,
    document_of,
    eob_of,
    flatten_files,
    line_of,
    rejects_of,
    write_export,
)
from tests.outside_data import OUTSIDE, needs_outside_data

MALFORMED = [
    b"not json",
    b'{"resourceType": "Patient", "id": "p1"',
    b"[]",
    b"null",
    b'"text"',
    b"{}",
    b'{"id": "p1"}',
    b'{"resourceType": 1, "id": "p1"}',
    b'{"resourceType": "", "id": "p1"}',
    b'{"resourceType": "Patient"}',
    b'{"resourceType": "Patient", "id": ""}',
    b'{"resourceType": "Patient", "id": null}',
    b'{"resourceType": "Patient", "id": "p1", "city": "\xff"}',
    b'{"resourceType": "Patient", "id": "\\ud800"}',
    b"\x00\x01",
    b"[" * 100_000,
]


@pytest.mark.parametrize("name", [*TABLE_OF_TYPE, "1.Patient", "patient-2", "export/Encounter.000"])
def test_malformed_lines_are_rows_of_the_table_that_the_file_says(tmp_path: Path, name: str) -> None:
    lines = [*MALFORMED, b"", b"  \t\r"]
    report, tables = flatten_files(tmp_path, {"Patient.ndjson": [], "Encounter.ndjson": [], f"{name}.ndjson": lines})
    found = {table: rows for table, rows in tables.items() if rows}
    (rows,) = found.values()
    assert set(found) == {TABLE_OF_TYPE[type_of_name(name.rpartition("/")[2]) or ""]}
    numbers = range(1, len(MALFORMED) + 1)
    assert rejects_of(rows) == {f"{name}.ndjson:{number}": "malformed_line" for number in numbers}
    assert all(sum(value is not None for value in row.values()) == 2 for row in rows)
    assert report.num_lines == len(MALFORMED)


def test_malformed_lines_elsewhere_go_by_what_remains_of_them(tmp_path: Path) -> None:
    lines = [
        b'{"id": "e2", "resourceType": "Encounter"',
        b'{"id": "o1", "resourceType": "Observation"',
        b'{"resourceType": "Observation", "id": "o2"',
        b"who knows",
    ]
    report, tables = flatten_files(tmp_path, {"export.ndjson": lines})
    assert rejects_of(tables["fhir_encounters"]) == {"export.ndjson:1": "malformed_line"}
    assert rejects_of(tables["fhir_notes"]) == {"export.ndjson:4": "malformed_line"}
    assert report.ignored_by_type == {"Observation": 2}


WRONG: list[Json] = [
    {**PATIENT, "id": 5},
    {**PATIENT, "gender": ["male"]},
    {**PATIENT, "address": {"city": "Reno"}},
    {**PATIENT, "address": ["Reno"]},
    {**PATIENT, "deceasedBoolean": "true"},
    {**PATIENT, "birthDate": 1950},
    {**PATIENT, "gender": "a\x00b"},
    {**ENCOUNTER, "class": [{"code": "IMP"}]},
    {**ENCOUNTER, "period": "2021"},
    {**ENCOUNTER, "subject": {"reference": {"id": "p1"}}},
    {"resourceType": "Condition", "id": "c1", "code": {"coding": {"code": "I50"}}},
    {"resourceType": "Condition", "id": "c1", "code": [1]},
    document_of(attachment_of("Plan."), content="Plan."),
    document_of({"contentType": 1}),
    document_of({"contentType": "text/plain", "data": ["Plan."]}),
    document_of(attachment_of("Plan."), relatesTo={"code": "replaces"}),
    {"resourceType": "Composition", "id": "k1", "section": [{"text": "<div>Plan.</div>"}]},
    {"resourceType": "DiagnosticReport", "id": "r1", "conclusion": {"text": "Normal."}},
    {"resourceType": "Binary", "id": "b1", "data": 7},
    {"resourceType": "Claim", "id": "k1", "item": {"encounter": []}},
    eob_of(total=[{"amount": {"value": "135.57"}}]),
    eob_of(total=[{"amount": 135.57}]),
    eob_of(total=[amount_of("benefit", True)]),
    eob_of(item="1205"),
]


@pytest.mark.parametrize("resource", WRONG, ids=str)
def test_wrong_types_are_rejects(tmp_path: Path, resource: Json) -> None:
    _, tables = flatten_files(tmp_path, {"all.ndjson": [resource]})
    table = TABLE_OF_TYPE[resource["resourceType"]]
    rows = [row for row in tables[table] if row["source_line"] == "all.ndjson:1"]
    assert rejects_of(rows) == {"all.ndjson:1": "malformed_resource"}
    assert all(sum(value is not None for value in row.values()) == 2 for row in rows)


def test_files_of_any_name_and_other_types(tmp_path: Path) -> None:
    files: Files = {
        "all.ndjson": [PATIENT, {"id": "e1", "resourceType": "Encounter"}, {"resourceType": "Observation", "id": "o"}],
        "sub/Patient.NDJSON": [b"\xef\xbb\xbf" + line_of({**PATIENT, "id": "p2"}) + b"\r", ENCOUNTER],
        "Location.1.ndjson.gz": [{"id": "l1", "resourceType": "Location"}, {"resourceType": "Jane Doe", "id": "x"}],
    }
    for name, lines in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = b"\n".join(map(line_of, lines))
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    (tmp_path / "manifest.json").write_text("{}")
    told: list[str] = []
    report = flatten_fhir(tmp_path, tmp_path / "out", on_progress=told.append)
    assert told == ["Location.1.ndjson.gz: 2 lines", "all.ndjson: 3 lines", "sub/Patient.NDJSON: 2 lines"]
    assert report.summary() == {
        "num_files": 3,
        "num_lines": 7,
        "rows_by_table": {**dict.fromkeys(TABLES, 0), "fhir_patients": 2, "fhir_encounters": 2},
        "rejects_by_table": {table: {} for table in TABLES},
        "lookups_by_type": {"Binary": 0, "Claim": 0},
        "ignored_by_type": {"(no type)": 1, "Location": 1, "Observation": 1},
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{table}.parquet" for table in TABLES)


def test_the_tables_have_the_columns_that_sql_reads(tmp_path: Path) -> None:
    from lang1_assets.ops.sources.layout import folder_layout, source_tables

    flatten_fhir(write_export(tmp_path / "in", {}), tmp_path / "out")
    assert folder_layout(PROJECT, "fhir", tmp_path / "out").absent == ()
    for table in source_tables(PROJECT, "fhir"):
        assert set(table.required) <= set(TABLES[table.name])
    frame = pl.read_parquet(tmp_path / "out" / "fhir_claims.parquet")
    assert (tuple(frame.columns), set(frame.dtypes)) == (TABLES["fhir_claims"], {pl.String})


def test_an_export_without_patients_or_encounters_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FhirError, match="is not a folder"):
        flatten_fhir(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(FhirError, match=r"no file there ends in \.ndjson"):
        flatten_fhir(tmp_path, tmp_path / "out")
    (tmp_path / "Condition.ndjson").write_text("")
    with pytest.raises(FhirError, match=r"has no Patient and no Encounter resources; expected Patient\*\.ndjson"):
        flatten_fhir(tmp_path, tmp_path / "out")
    (tmp_path / "Patient.ndjson").write_text("")
    with pytest.raises(FhirError, match="has no Encounter resources"):
        flatten_fhir(tmp_path, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "all.ndjson").write_bytes(line_of(ENCOUNTER))
    assert flatten_fhir(tmp_path, tmp_path / "out").rows_by_table["fhir_encounters"] == 1


def test_a_cut_gzip_file_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = write_export(tmp_path / "in", {"Condition.ndjson.gz": [{"resourceType": "Condition", "id": "c"}] * 50})
    whole = (folder / "Condition.ndjson.gz").read_bytes()
    (folder / "Condition.ndjson.gz").write_bytes(whole[:-12])
    with pytest.raises(FhirError, match=r"Condition\.ndjson\.gz is not a whole gzip file"):
        flatten_fhir(folder, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_line_that_is_too_long_is_a_reject_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_lines, "MAXIMUM_LINE_BYTES", 150)
    long = {**PATIENT, "id": "p2", "address": [{"city": "x" * 350}]}
    padding = 150 - len(line_of(PATIENT)) - 1
    full = line_of(PATIENT)[:-1] + b" " * padding + b"}"
    lines: list[Json | bytes] = [PATIENT, long, full, long, {**PATIENT, "id": "p5"}]
    _, tables = flatten_files(
        tmp_path, {"Patient.ndjson": lines, "b.ndjson": [document_of({"url": "Binary/b1"}), binary_of("P")]}
    )
    assert [row["subject_id"] for row in tables["fhir_patients"]] == ["p1", None, "p1", None, "p5"]
    assert rejects_of(tables["fhir_patients"]) == dict.fromkeys(
        ("Patient.ndjson:2", "Patient.ndjson:4"), "malformed_line"
    )
    assert [row["narrative"] for row in tables["fhir_notes"]] == ["P"]


def test_a_note_of_ten_megabytes(tmp_path: Path) -> None:
    text = "Patient denies chest pain.\n" * 400_000
    markup = f"<div>{'<p>Denies &amp; smiles.</p>' * 400_000}</div>"
    _, tables = flatten_files(
        tmp_path, {"d.ndjson.gz": [document_of(attachment_of(text)), document_of(attachment_of(markup, "text/html"))]}
    )
    plain, html = (row["narrative"] for row in tables["fhir_notes"])
    assert plain == text
    assert html == "\n\n".join(["Denies & smiles."] * 400_000)


def test_row_groups_bound_the_memory_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHARACTERS_PER_GROUP", 1 << 20)
    documents = [
        {**document_of(attachment_of(f"{number} " + "x" * 500_000)), "id": str(number)} for number in range(40)
    ]
    folder = write_export(tmp_path / "in", {"d.ndjson": [*documents]})
    tracemalloc.start()
    flatten_fhir(folder, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 14_000_000
    frame = pl.read_parquet(tmp_path / "out" / "fhir_notes.parquet")
    assert frame["narrative"].str.split(" ").list.first().to_list() == [str(number) for number in range(40)]


# Public samples, kept beside the repository where there are any.


def test_times_of_every_table_are_on_the_clock_of_the_hospital(tmp_path: Path) -> None:
    utc = "2021-01-01T03:00:00Z"
    resources = [
        {**PATIENT, "birthDate": "1950-03-02T00:00:00Z", "deceasedDateTime": utc},
        {**ENCOUNTER, "period": {"start": utc, "end": "2021-07-01T03:00:00Z"}},
        document_of(date=utc),
        document_of(context={"period": {"end": utc}}),
        {"resourceType": "DiagnosticReport", "id": "r1", "issued": utc},
        {"resourceType": "Composition", "id": "k1", "date": utc},
        eob_of(created=utc),
    ]
    folder = write_export(tmp_path / "in", {"Patient.ndjson": [], "Encounter.ndjson": [], "all.ndjson": resources})
    flatten_fhir(folder, tmp_path / "out", time_zone="America/New_York")
    found = {table: pl.read_parquet(tmp_path / "out" / f"{table}.parquet") for table in TABLES}
    evening = "2020-12-31 22:00:00"
    assert found["fhir_patients"].select("birth_date", "deceased").row(0) == ("1950-03-02", evening)
    assert found["fhir_encounters"].select("start_time", "end_time").row(0) == (evening, "2021-06-30 23:00:00")
    assert found["fhir_notes"]["written_time"].to_list() == [evening] * 4
    assert found["fhir_claims"]["status_time"].to_list() == [evening]


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "America", "../zoneinfo/UTC", "/etc/hostname", "a\0b", "x" * 5000]
)
def test_an_unknown_time_zone_is_an_error_before_anything_is_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(FhirError, match=r"is not known; give an IANA name such as 'America/New_York'"):
        flatten_fhir(tmp_path / "nowhere", tmp_path / "out", time_zone=name)
    assert not (tmp_path / "out").exists()


@needs_outside_data
def test_a_real_export(tmp_path: Path) -> None:
    report = flatten_fhir(OUTSIDE / "fhir-bulk-10", tmp_path)
    assert report.rows_by_table == {
        "fhir_patients": 13,
        "fhir_encounters": 1215,
        "fhir_notes": 1215,
        "fhir_conditions": 555,
        "fhir_claims": 0,
    }
    assert not any(report.rejects_by_table.values())
    notes = pl.read_parquet(tmp_path / "fhir_notes.parquet")
    encounters = pl.read_parquet(tmp_path / "fhir_encounters.parquet")
    assert notes["encounter_id"].is_in(encounters["encounter_id"].to_list()).all()
    assert (encounters["start_time"] <= encounters["end_time"]).all()
    assert notes["narrative"].str.len_chars().median() == 1439
    assert notes["written_time"].str.to_datetime("%Y-%m-%d %H:%M:%S", strict=True).null_count() == 0


@needs_outside_data
def test_the_examples_of_the_standard(tmp_path: Path) -> None:
    examples = [json.loads(path.read_text()) for path in sorted((OUTSIDE / "fhir-claims-examples").glob("*.json"))]
    _, tables = flatten_files(tmp_path, {"all.ndjson": examples})
    assert [row["reject_reason"] for row in tables["fhir_notes"]] == ["unreadable_format"] * 2
    names = ("claim_id", "is_denied", "total_submitted", "total_benefit")
    assert [tuple(row[name] for name in names) for row in tables["fhir_claims"]] == [
        ("ClaimResponse/R3500", "false", "135.57", "90.47"),
        ("ExplanationOfBenefit/EB3500", "false", "135.57", "96.0"),
    ]
