from __future__ import annotations

import base64
import gzip
import json
import os
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from lang1_assets.ops.sources import fhir, fhir_notes
from lang1_assets.ops.sources.fhir import TABLES, Element, FhirError, FhirReport, flatten_fhir
from lang1_assets.ops.sources.fhir_notes import html_text
from tests.dbt_runs import PROJECT

# Public samples, kept beside the repository where there are any.
SAMPLES = Path(os.environ.get("LANG1_SHARED_DATA", Path(__file__).parents[4] / "shared" / "data"))
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
REVIEW_ACTION = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewAction"
ICD_10, ICD_9 = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm"

Json = dict[str, Any]
Files = Mapping[str, Sequence[Json | bytes]]
Rows = list[dict[str, Any]]

PATIENT: Json = {"resourceType": "Patient", "id": "p1"}
ENCOUNTER: Json = {"resourceType": "Encounter", "id": "e1"}


def _line(content: Json | bytes) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()


def _write(folder: Path, files: Files) -> Path:
    """Files with these lines, and one patient and one encounter where no file is named for them."""
    given_names = {name.partition(".")[0] for name in files}
    defaults = {"Patient": PATIENT, "Encounter": ENCOUNTER}
    more: Files = {f"{name}.ndjson": [value] for name, value in defaults.items() if name not in given_names}
    for name, lines in {**more, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = b"".join(_line(line) + b"\n" for line in lines)
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def _flatten(tmp_path: Path, files: Files) -> tuple[FhirReport, dict[str, Rows]]:
    report = flatten_fhir(_write(tmp_path / "in", files), tmp_path / "out")
    return report, {table: pl.read_parquet(tmp_path / "out" / f"{table}.parquet").to_dicts() for table in TABLES}


def _only(tmp_path: Path, resource: Json, *others: Json) -> dict[str, Any]:
    """The row of a resource."""
    _, tables = _flatten(tmp_path, {f"{resource['resourceType']}.ndjson": [resource], "others.ndjson": list(others)})
    (row,) = tables[fhir.TABLE_OF_TYPE[resource["resourceType"]]]
    return row


def _rejects(rows: Rows) -> dict[str, str]:
    return {row["source_line"]: row["reject_reason"] for row in rows if row["reject_reason"]}


def _concept(*codes: str, system: str = "s", text: str | None = None, display: str | None = None) -> Json:
    codings = [{"system": system, "code": code, **({"display": display} if display else {})} for code in codes]
    return {"coding": codings, **({"text": text} if text else {})}


def _encoded(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def _attachment(content: str | bytes, content_type: str | None = "text/plain") -> Json:
    return {"data": _encoded(content), **({"contentType": content_type} if content_type else {})}


def _document(*attachments: Json, **more: Any) -> Json:
    contents = [{"attachment": attachment} for attachment in attachments]
    return {"resourceType": "DocumentReference", "id": "d1", "content": contents, **more}


def _narrative(tmp_path: Path, resource: Json, *others: Json) -> tuple[str | None, str | None]:
    row = _only(tmp_path, resource, *others)
    return row["narrative"], row["reject_reason"]


def test_a_patient_in_full(tmp_path: Path) -> None:
    race = [{"url": "ombCategory", "valueCoding": {"display": "White"}}, {"url": "text", "valueString": "Mixed"}]
    ethnicity = [{"url": "ombCategory", "valueCoding": {"code": "2186-5", "display": "Not Hispanic or Latino"}}]
    patient = {
        **PATIENT,
        "extension": [
            {"url": US_CORE + "us-core-birthsex", "valueCode": "F"},
            {"url": US_CORE + "us-core-race", "extension": race},
            {"url": US_CORE + "us-core-ethnicity", "extension": ethnicity},
        ],
        "gender": "female",
        "birthDate": "1950-03-02",
        "address": [{"use": "old", "city": "Ghent"}, {"line": ["1 Main St"]}, {"city": "Reno"}],
        "deceasedDateTime": "2020-02",
    }
    assert _only(tmp_path, patient) == {
        "subject_id": "p1",
        "birth_date": "1950-03-02",
        "sex": "F",
        "race": "Mixed",
        "ethnicity": "Not Hispanic or Latino",
        "city": "Reno",
        "deceased": "2020-02-01 00:00:00",
        "source_line": "Patient.ndjson:1",
        "reject_reason": None,
    }


def test_of_several_races_all_are_said_and_of_addresses_the_home(tmp_path: Path) -> None:
    omb = [{"url": "ombCategory", "valueCoding": {"display": name}} for name in ("Asian", "White")]
    row = _only(
        tmp_path,
        {
            **PATIENT,
            "extension": [{"url": US_CORE + "us-core-race", "extension": omb}],
            "address": [{"city": "Reno"}, {"use": "home", "city": "Elko"}],
        },
    )
    assert (row["race"], row["city"]) == ("Asian; White", "Elko")


@pytest.mark.parametrize(
    ("gender", "sex"), [("male", "M"), ("female", "F"), ("other", "other"), ("unknown", "unknown"), (None, None)]
)
def test_sexes(tmp_path: Path, gender: str | None, sex: str | None) -> None:
    assert _only(tmp_path, {**PATIENT, "gender": gender})["sex"] == sex


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (False, "false"), (None, None)])
def test_deceased_may_be_no_more_than_true_or_false(tmp_path: Path, value: bool | None, expected: str | None) -> None:
    assert _only(tmp_path, {**PATIENT, "deceasedBoolean": value})["deceased"] == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2021-03-04T05:06:07-05:00", "2021-03-04 05:06:07"),
        ("2021-03-04T05:06:07Z", "2021-03-04 05:06:07"),
        ("2021-03-04T05:06:07.123456+13:00", "2021-03-04 05:06:07"),
        ("2021-03-04T05:06", "2021-03-04 05:06:00"),
        ("2021-03-04", "2021-03-04 00:00:00"),
        ("2021-03", "2021-03-01 00:00:00"),
        ("2021", "2021-01-01 00:00:00"),
        (" 2021 ", "2021-01-01 00:00:00"),
        ("03/04/2021", "03/04/2021"),
        ("20210304050607", "20210304050607"),
        ("\N{ARABIC-INDIC DIGIT TWO}021", "\N{ARABIC-INDIC DIGIT TWO}021"),
        ("", None),
        (None, None),
    ],
)
def test_times_keep_the_wall_clock_and_lose_the_offset(written: str | None, expected: str | None) -> None:
    assert Element({"date": written}).time("date") == expected


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"reference": "Patient/1"}, "1"),
        ({"reference": "https://server.org/fhir/R4/Patient/1"}, "1"),
        ({"reference": "Patient/1/_history/3"}, "1"),
        ({"reference": "https://server.org/fhir/Patient/1/_history/3"}, "1"),
        ({"reference": "urn:uuid:0a-1b"}, "0a-1b"),
        ({"reference": "urn:oid:1.2.3"}, "1.2.3"),
        ({"reference": "Patient?identifier=http://system|1"}, "1"),
        ({"reference": "Patient?identifier=1&active=true"}, "1"),
        ({"reference": "Patient?identifier=system|"}, None),
        ({"identifier": {"system": "s", "value": "1"}}, "1"),
        ({"reference": "1"}, "1"),
        ({"reference": "#p"}, "owner#p"),
        ({"reference": "Group/1"}, "Group/1"),
        ({"reference": "https://server.org/Device/1"}, "Device/1"),
        ({"reference": "/"}, None),
        ({"display": "someone"}, None),
        ({}, None),
    ],
)
def test_references(reference: Json, expected: str | None) -> None:
    assert Element(reference).reference_id("Patient", "owner") == expected


def test_an_encounter_in_full(tmp_path: Path) -> None:
    encounter = {
        **ENCOUNTER,
        "status": "finished",
        "class": {"code": "IMP"},
        "type": [_concept("t", text="Visit")],
        "serviceType": _concept("c", display="Cardiology"),
        "priority": _concept("EM"),
        "subject": {"reference": "Patient/p1"},
        "period": {"start": "2021-01-02T03:04:05Z", "end": "2021-01-03"},
        "hospitalization": {
            "admitSource": _concept("emd", display="From emergency"),
            "dischargeDisposition": {
                "coding": [
                    {"system": "local", "code": "7"},
                    {"system": "http://terminology.hl7.org/CodeSystem/discharge-disposition", "code": "exp"},
                ],
                "text": "Died here",
            },
        },
        "location": [{"location": {"display": "Ward 3"}}],
        "serviceProvider": {"display": "General"},
    }
    row = _only(tmp_path, encounter)
    assert row == {
        "encounter_id": "e1",
        "subject_id": "p1",
        "class_code": "IMP",
        "status": "finished",
        "start_time": "2021-01-02 03:04:05",
        "end_time": "2021-01-03 00:00:00",
        "department": "Cardiology",
        "admission_type": "EM",
        "disposition_code": "exp",
        "disposition_text": "Died here",
        "source_line": "Encounter.ndjson:1",
        "reject_reason": None,
    }


@pytest.mark.parametrize(
    ("left_out", "department", "admission_type"),
    [
        ((), "Cardiology", "Urgent"),
        (("serviceType", "priority"), "Ward 3", "Clinic"),
        (("serviceType", "priority", "location", "hospitalization"), "General", "Visit"),
        (("serviceType", "priority", "location", "hospitalization", "serviceProvider", "type"), None, None),
    ],
)
def test_where_department_and_admission_type_come_from(
    tmp_path: Path, left_out: tuple[str, ...], department: str | None, admission_type: str | None
) -> None:
    encounter = {
        **ENCOUNTER,
        "serviceType": {"text": "Cardiology"},
        "priority": {"text": "Urgent"},
        "location": [{"location": {"reference": "Location/1"}}, {"location": {"display": "Ward 3"}}],
        "hospitalization": {"admitSource": {"text": "Clinic"}},
        "serviceProvider": {"display": "General"},
        "type": [{"text": "Visit"}],
    }
    row = _only(tmp_path, {name: value for name, value in encounter.items() if name not in left_out})
    assert (row["department"], row["admission_type"]) == (department, admission_type)


@pytest.mark.parametrize(
    ("codings", "expected"),
    [
        ([("http://snomed.info/sct", "1"), (ICD_9, "428.0"), (ICD_10, "I50.9")], ("10", "I50.9")),
        ([(ICD_9, "428.0"), ("http://snomed.info/sct", "1")], ("9", "428.0")),
        ([("http://hl7.org/fhir/sid/icd-10", "I50")], ("10", "I50")),
        ([("https://hl7.org/fhir/sid/ICD-10-CM/", "I50")], ("10", "I50")),
        ([("http://fhir.de/CodeSystem/bfarm/icd-10-gm", "I50.01")], ("10", "I50.01")),
        ([("urn:oid:2.16.840.1.113883.6.90", "I50")], ("10", "I50")),
        ([("urn:oid:2.16.840.1.113883.6.103", "428")], ("9", "428")),
        ([("http://hl7.org/fhir/sid/icd-10-pcs", "02HV33Z")], (None, None)),
        ([("urn:oid:2.16.840.1.113883.6.4", "02HV33Z")], (None, None)),
        ([(ICD_10, None), (ICD_9, "428")], ("9", "428")),
        ([(None, "I50")], (None, None)),
        ([], (None, None)),
    ],
)
def test_icd_codes(
    tmp_path: Path, codings: list[tuple[str | None, str | None]], expected: tuple[str | None, str | None]
) -> None:
    condition = {
        "resourceType": "Condition",
        "id": "c1",
        "code": {"coding": [{"system": system, "code": code} for system, code in codings]},
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "verificationStatus": _concept("confirmed"),
    }
    row = _only(tmp_path, condition)
    assert (row["icd_version"], row["icd_code"]) == expected
    others = ("condition_id", "encounter_id", "subject_id", "verification_status", "reject_reason")
    assert tuple(row[name] for name in others) == ("c1", "e1", "p1", "confirmed", None)


def test_a_document_in_full(tmp_path: Path) -> None:
    document = _document(
        _attachment("Chief complaint: caf\N{LATIN SMALL LETTER E WITH ACUTE}.\nPlan.", "text/plain; charset=utf-8"),
        status="current",
        docStatus="final",
        type={
            "coding": [
                {"system": "http://loinc.org", "code": "34117-2", "display": "History and physical note"},
                {"system": "local", "code": "HP"},
                {"system": "urn:oid:2.16.840.1.113883.6.1", "code": "51847-2"},
            ]
        },
        category=[{"text": "Clinical Note"}, _concept("x", display="Ward")],
        subject={"reference": "Patient/p1"},
        date="2021-05-06T07:08:09+02:00",
        author=[{"reference": "#contained"}, {"reference": "Practitioner/dr"}],
        context={
            "encounter": [{"reference": "EpisodeOfCare/e9"}, {"reference": "Encounter/e1"}],
            "period": {"start": "2021-05-01", "end": "2021-05-05"},
            "practiceSetting": {"text": "Cardiology"},
        },
        custodian={"display": "General"},
    )
    assert _only(tmp_path, document) == {
        "note_id": "DocumentReference/d1",
        "encounter_id": "e1",
        "subject_id": "p1",
        "resource_type": "DocumentReference",
        "status": "current",
        "doc_status": "final",
        "type_codes": "34117-2|51847-2",
        "type_text": "History and physical note",
        "category_text": "Clinical Note|Ward",
        "department": "Cardiology",
        "author_id": "d1#contained",
        "written_time": "2021-05-06 07:08:09",
        "content_type": "text/plain; charset=utf-8",
        "replaced_by": None,
        "narrative": "Chief complaint: caf\N{LATIN SMALL LETTER E WITH ACUTE}.\nPlan.",
        "source_line": "DocumentReference.ndjson:1",
        "reject_reason": None,
    }


def test_when_a_document_was_written(tmp_path: Path) -> None:
    attachment = {**_attachment("Plan."), "creation": "2021-02"}
    context = {"period": {"start": "2021-03", "end": "2021-04"}}
    variants = [
        _document(attachment, date="2021-01", context=context),
        _document(attachment, context=context),
        _document(_attachment("Plan."), context=context),
        _document(_attachment("Plan."), context={"period": {"start": "2021-03"}}),
        _document(_attachment("Plan.")),
    ]
    _, tables = _flatten(tmp_path, {"notes.ndjson": [*variants]})
    found = [row["written_time"] and row["written_time"][:7] for row in tables["fhir_notes"]]
    assert found == ["2021-01", "2021-02", "2021-04", "2021-03", None]


def test_a_diagnostic_report(tmp_path: Path) -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "category": [_concept("RAD", display="Radiology")],
        "code": _concept("18748-4", system="http://loinc.org", display="Imaging study"),
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2021-01-01T10:00:00Z",
        "issued": "2021-01-01T12:30:00Z",
        "performer": [{"reference": "Organization/o", "display": "Imaging"}],
        "resultsInterpreter": [{"reference": "Practitioner/dr"}],
        "presentedForm": [_attachment("Chest x-ray. No effusion.")],
        "conclusion": "Normal.",
    }
    row = _only(tmp_path, report)
    names = (
        "note_id",
        "encounter_id",
        "type_codes",
        "type_text",
        "category_text",
        "department",
        "author_id",
        "doc_status",
    )
    assert [row[name] for name in names] == [
        "DiagnosticReport/r1", "e1", "18748-4", "Imaging study", "Radiology", "Imaging", "dr", None,
    ]  # fmt: skip
    assert (row["written_time"], row["narrative"]) == (
        "2021-01-01 12:30:00",
        "Chest x-ray. No effusion.\n\nNormal.",
    )


@pytest.mark.parametrize(
    ("forms", "conclusion", "expected"),
    [
        ([_attachment("All normal.")], "normal", ("All normal.", None)),
        ([], "Normal.", ("Normal.", None)),
        ([_attachment(b"%PDF-1.7", "application/pdf")], "Normal.", ("Normal.", None)),
        ([_attachment(b"%PDF-1.7", "application/pdf")], None, (None, "unreadable_format")),
        ([], None, (None, "no_text")),
    ],
)
def test_a_report_is_its_form_its_conclusion_or_both(
    tmp_path: Path, forms: list[Json], conclusion: str | None, expected: tuple[str | None, str | None]
) -> None:
    report = {"resourceType": "DiagnosticReport", "id": "r1", "presentedForm": forms, "conclusion": conclusion}
    assert _narrative(tmp_path, report) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"effectivePeriod": {"start": "2021-01", "end": "2021-02"}}, "2021-02-01 00:00:00"),
        ({"effectivePeriod": {"start": "2021-01"}}, "2021-01-01 00:00:00"),
        ({"effectiveDateTime": "2021-03-04"}, "2021-03-04 00:00:00"),
    ],
)
def test_a_report_without_time_of_issue(tmp_path: Path, times: Json, expected: str) -> None:
    report = {"resourceType": "DiagnosticReport", "id": "r1", "conclusion": "Normal.", **times}
    assert _only(tmp_path, report)["written_time"] == expected


def _section(title: str | None, markup: str | None, *children: Json) -> Json:
    text = {"text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{markup}</div>'}}
    return {"title": title, "section": list(children), **(text if markup else {})}


def test_a_composition_with_nested_sections(tmp_path: Path) -> None:
    composition = {
        "resourceType": "Composition",
        "id": "k1",
        "status": "final",
        "type": _concept("18842-5", system="http://loinc.org"),
        "title": "Discharge summary",
        "subject": {"reference": "urn:uuid:p1"},
        "encounter": {"reference": "urn:uuid:e1"},
        "date": "2021-01-09",
        "author": [{"reference": "Practitioner/dr"}],
        "section": [
            _section(
                "Course", "<p>Stable.</p>", _section("Day 1", None, _section("Night", "Slept.")), _section("Day 2", "")
            ),
            {**_section(None, "Home<br/>today"), "code": {"text": "Plan"}},
            _section("Nothing", None),
        ],
    }
    row = _only(tmp_path, composition)
    assert row["narrative"] == "Course\nStable.\n\nDay 1\nNight\nSlept.\n\nPlan\nHome\ntoday"
    names = ("note_id", "encounter_id", "subject_id", "written_time", "type_codes", "type_text", "author_id")
    assert [row[name] for name in names] == [
        "Composition/k1", "e1", "p1", "2021-01-09 00:00:00", "18842-5", "18842-5", "dr",
    ]  # fmt: skip


def test_a_composition_of_titles_alone_has_no_text_and_no_depth_is_too_deep(tmp_path: Path) -> None:
    shallow: Json = {"resourceType": "Composition", "id": "k1", "section": [_section("Course", None)]}
    assert _narrative(tmp_path, shallow) == (None, "no_text")
    # As deep as orjson follows.
    for depth in (505, 600):
        section = b'{"section": [' * depth + _line(_section(None, "deep")) + b"]}" * depth
        line = b'{"resourceType": "Composition", "id": "k1", "section": [' + section + b"]}"
        _, tables = _flatten(tmp_path / str(depth), {"Composition.ndjson": [line]})
        (row,) = tables["fhir_notes"]
        assert (row["narrative"], row["reject_reason"]) == (
            ("deep", None) if depth == 505 else (None, "malformed_line")
        )


def test_notes_know_what_replaces_them_whatever_the_order(tmp_path: Path) -> None:
    def replacing(note_id: str, target: str, code: str = "replaces") -> Json:
        return {
            **_document(_attachment("B")),
            "id": note_id,
            "relatesTo": [{"code": code, "target": {"reference": target}}],
        }

    old = {**_document(_attachment("A")), "id": "old"}
    appended = {**_document(_attachment("A")), "id": "appended"}
    composition = {
        "resourceType": "Composition",
        "id": "k2",
        "relatesTo": [{"code": "replaces", "targetReference": {"reference": "Composition/old"}}],
    }
    notes = [
        {**composition, "id": "old", "relatesTo": []},
        old,
        replacing("new", "DocumentReference/old/_history/1"),
        replacing("newer", "https://server/DocumentReference/new"),
        appended,
        replacing("other", "DocumentReference/appended", "appends"),
        composition,
    ]
    _, tables = _flatten(tmp_path, {"notes.ndjson.gz": [*notes]})
    assert {row["note_id"]: row["replaced_by"] for row in tables["fhir_notes"] if row["replaced_by"]} == {
        "DocumentReference/old": "DocumentReference/new",
        "DocumentReference/new": "DocumentReference/newer",
        "Composition/old": "Composition/k2",
    }


PDF, RTF = _attachment(b"%PDF-1.7\n\xff", "application/pdf"), _attachment(r"{\rtf1 Plan}", "text/rtf")
HTML = _attachment("<p>From HTML</p>", "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("attachments", "expected"),
    [
        ([PDF, HTML, _attachment("From text")], ("From text", None)),
        ([PDF, RTF, HTML], ("From HTML", None)),
        ([HTML, _attachment("<p>X</p>", "application/xhtml+xml")], ("From HTML", None)),
        ([_attachment(b"\xff"), HTML], ("From HTML", None)),
        ([{"contentType": "text/plain"}, HTML], ("From HTML", None)),
        ([PDF, {"contentType": "text/plain"}], (None, "unreadable_format")),
        ([RTF], (None, "unreadable_format")),
        ([_attachment("<ClinicalDocument/>", "application/hl7-v3+xml")], (None, "unreadable_format")),
        ([_attachment(r" {\rtf1 Plan}")], (None, "unreadable_format")),
        ([_attachment(b"%PDF-1.7", "text/html")], (None, "unreadable_format")),
        ([_attachment("Plan.", None)], (None, "unreadable_format")),
        ([_attachment("Plan.", "TEXT/Plain ;x=y")], ("Plan.", None)),
        ([_attachment(" \n\t")], (None, "no_text")),
        ([_attachment("")], (None, "no_text")),
        ([_attachment("<html><head><title>T</title></head></html>", "text/html")], (None, "no_text")),
        ([{}], (None, "no_text")),
        ([], (None, "no_text")),
        ([{"contentType": "text/plain", "data": "UGxhbi4"}], (None, "invalid_base64")),
        ([{"contentType": "text/plain", "data": "Plan, not encoded."}], (None, "invalid_base64")),
        ([{"contentType": "text/plain", "data": "\N{MULTIPLICATION SIGN}"}], (None, "invalid_base64")),
        ([{"contentType": "text/plain", "data": "UGxh\nbi4=\r\n"}], ("Plan.", None)),
    ],
)
def test_the_best_format_that_can_be_read(
    tmp_path: Path, attachments: list[Json], expected: tuple[str | None, str | None]
) -> None:
    assert _narrative(tmp_path, _document(*attachments)) == expected


@pytest.mark.parametrize(
    ("content", "content_type", "expected"),
    [
        ("fi\xe8vre".encode(), "text/plain", "fi\xe8vre"),
        (b"\xef\xbb\xbffi\xc3\xa8vre", "text/plain; charset=UTF-8", "fi\xe8vre"),
        (b"fi\xe8vre", "text/plain; charset=ISO-8859-1", "fi\xe8vre"),
        (b"patient\x92s", "text/plain;charset='iso-8859-1'", "patient\N{RIGHT SINGLE QUOTATION MARK}s"),
        (
            b"patient\x92s",
            'text/plain; format=flowed; charset="windows-1252"',
            "patient\N{RIGHT SINGLE QUOTATION MARK}s",
        ),
        ("fi\xe8vre".encode("utf-16"), "text/plain; charset=utf-16", "fi\xe8vre"),
        ("<p>fi\xe8vre</p>".encode("latin-1"), "text/html; charset=latin1", "fi\xe8vre"),
        (b"fi\xe8vre", "text/plain", None),
        (b"fi\xe8vre", "text/plain; charset=us-ascii", None),
        (b"fievre", "text/plain; charset=x-unknown", None),
        (b"fievre", "text/plain; charset=hex", None),
        (b"fievre", "text/plain; charset=undefined", None),
        ("fievre".encode("utf-16-le"), "text/plain", None),
        (rb"\ud800", "text/plain; charset=unicode_escape", None),
        (b"+2AA-", "text/plain; charset=utf-7", None),
    ],
)
def test_character_sets(tmp_path: Path, content: bytes, content_type: str, expected: str | None) -> None:
    reason = None if expected else "undecodable_text"
    assert _narrative(tmp_path, _document(_attachment(content, content_type))) == (expected, reason)


def _binary(content: str | bytes, content_type: str | None = "text/plain", binary_id: str = "b1") -> Json:
    return {"resourceType": "Binary", "id": binary_id, **_attachment(content, content_type)}


@pytest.mark.parametrize("url", ["Binary/b1", "https://server/fhir/Binary/b1", "Binary/b1/_history/2", "urn:uuid:b1"])
@pytest.mark.parametrize("name", ["Binary.ndjson", "Binary.ndjson.gz", "deep/all.ndjson"])
def test_text_in_binary_resources(tmp_path: Path, url: str, name: str) -> None:
    document = _document({"contentType": "text/html", "url": url})
    first = b"\xef\xbb\xbf" + _line(_binary("x", binary_id="b0"))
    binaries: list[Json | bytes] = [first, _binary("<b>Bl\xe4sse</b>".encode("cp1252"), "text/html; charset=cp1252")]
    report, tables = _flatten(tmp_path, {"DocumentReference.ndjson": [document], name: [*binaries]})
    assert [row["narrative"] for row in tables["fhir_notes"]] == ["Bl\xe4sse"]
    assert report.lookups_by_type == {"Binary": 2, "Claim": 0}
    assert report.num_lines == 5


def test_the_type_of_an_attachment_may_be_that_of_its_binary_or_its_name(tmp_path: Path) -> None:
    attachments = [_document({"url": "Binary/b1"}), _document({"url": "a.html"}), _document({"url": "a.pdf"})]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.html").write_text("<p>File</p>")
    (tmp_path / "in" / "a.pdf").write_text("File")
    _, tables = _flatten(tmp_path, {"d.ndjson": [*attachments, _binary("Text")]})
    found = [(row["narrative"], row["content_type"], row["reject_reason"]) for row in tables["fhir_notes"]]
    assert found == [("Text", "text/plain", None), ("File", "text/html", None), (None, None, "unreadable_format")]


@pytest.mark.parametrize(
    "url",
    [
        "https://server/notes/1.txt",
        "http://server/fhir/Binary/b2",
        "file:///etc/hostname",
        "/etc/hostname",
        "../secret.txt",
        "notes/../../secret.txt",
        "%2e%2e/secret.txt",
        "link.txt",
        "loop.txt",
        "notes",
        "Binary/b2",
        "missing.txt",
        "a" * 5000,
        "a%00b",
        "http://[",
        "data:text/plain,Plan",
        "#b1",
        ".",
        "/",
    ],
)
def test_nothing_outside_of_the_export_is_read(tmp_path: Path, url: str) -> None:
    (tmp_path / "in" / "notes").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "in" / "loop.txt").symlink_to(tmp_path / "in" / "loop.txt")
    document = _document({"contentType": "text/plain", "url": url})
    assert _narrative(tmp_path, document, _binary("Other")) == (None, "attachment_not_in_export")


def test_text_in_files_beside_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "notes").mkdir(parents=True)
    (tmp_path / "in" / "notes" / "a b.txt").write_text("Plan.")
    (tmp_path / "in" / "large.txt").write_text("12345678")
    monkeypatch.setattr(fhir_notes, "MAXIMUM_ATTACHMENT_BYTES", 7)
    documents = [_document({"contentType": "text/plain", "url": url}) for url in ("notes/a%20b.txt", "large.txt")]
    _, tables = _flatten(tmp_path, {"d.ndjson": [*documents]})
    assert [row["narrative"] for row in tables["fhir_notes"]] == ["Plan.", None]
    assert _rejects(tables["fhir_notes"]) == {"d.ndjson:2": "attachment_too_large"}


def test_what_cannot_be_opened_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("Plan.")
    monkeypatch.setattr(Path, "read_bytes", broken)
    document = _document({"contentType": "text/plain", "url": "a.txt"})
    assert _narrative(tmp_path, document) == (None, "attachment_unreadable")


def test_markup_that_the_parser_gives_up_on_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(markup: str) -> str:
        raise etree.LxmlError("no")

    monkeypatch.setattr(fhir_notes, "without_cdata", broken)
    composition = {"resourceType": "Composition", "id": "k1", "section": [_section("T", "<p>Plan.</p>")]}
    report = {"resourceType": "DiagnosticReport", "id": "r1", "presentedForm": [HTML]}
    _, tables = _flatten(tmp_path, {"all.ndjson": [composition, report]})
    assert set(_rejects(tables["fhir_notes"]).values()) == {"unreadable_format"}
    assert len(tables["fhir_notes"]) == 2


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<p>One\n two</p><p>Three</p>", "One two\n\nThree"),
        ("<div>One</div><div>Two<br/>Three<br>Four</div>", "One\nTwo\nThree\nFour"),
        ("a<br><br>b", "a\n\nb"),
        ("<h2>Plan</h2>Rest <b>and</b> fluids", "Plan\n\nRest and fluids"),
        ("<ul><li>One</li><li>Two</li></ul>End", "One\nTwo\n\nEnd"),
        ("<table><tr><th>Na</th><th>K</th></tr><tr><td>140</td><td>4.1</td></tr></table>", "Na\tK\n140\t4.1"),
        ("<pre>BP   120/80\n  HR 70</pre>", "BP   120/80\n  HR 70"),
        ("5 &lt; 6 &amp; &nbsp;&eacute; &#233; &#x2264;", "5 < 6 & \xe9 \xe9 \N{LESS-THAN OR EQUAL TO}"),
        ("<script>var x = 1;</script><style>p {}</style>Text", "Text"),
        (
            "<?xml version='1.0' encoding='latin-1'?><html xmlns='x'><head><title/></head><body>Fi\xe8vre</body></html>",
            "Fi\xe8vre",
        ),
        ("<p>Kept<script src='x'/> too</p>", "Kept too"),
        ("<!-- a comment -->Text", "Text"),
        ("<![CDATA[K < 4]]> low <![CDATA[<b>]]>", "K < 4 low <b>"),
        ("<![CDATA[unclosed", "unclosed"),
        ("No markup", "No markup"),
        ("<p>Unclosed <b>tags", "Unclosed tags"),
        ("<div>" * 3000 + "deep" + "</div>" * 3000, "deep"),
        ("", ""),
        ("<p></p>", ""),
    ],
)
def test_text_of_html(markup: str, expected: str) -> None:
    assert html_text(markup) == expected


def _eob(**more: Any) -> Json:
    return {"resourceType": "ExplanationOfBenefit", "id": "x1", "outcome": "complete", "use": "claim", **more}


def _amount(code: str, value: float | None = None, *reasons: str, system: str = "s") -> Json:
    amount = {} if value is None else {"amount": {"value": value, "currency": "USD"}}
    reason = {"reason": _concept(*reasons)} if reasons else {}
    return {"category": _concept(code, system=system), **amount, **reason}


def test_a_claim_in_full(tmp_path: Path) -> None:
    claim = _eob(
        status="active",
        patient={"reference": "Patient/p1"},
        created="2021-04-05",
        disposition="Settled",
        item=[
            {"encounter": [{"reference": "Encounter/e1"}], "adjudication": [_amount("eligible", 120.0, "45", "Ar002")]},
            {"detail": [{"subDetail": [{"adjudication": [_amount("COPAY", 5)]}]}]},
        ],
        total=[_amount("submitted", 135.57), _amount("benefit", 96.0)],
    )
    assert _only(tmp_path, claim) == {
        "claim_id": "ExplanationOfBenefit/x1",
        "encounter_id": "e1",
        "subject_id": "p1",
        "resource_type": "ExplanationOfBenefit",
        "use": "claim",
        "status": "active",
        "outcome": "complete",
        "disposition": "Settled",
        "is_denied": "false",
        "total_submitted": "135.57",
        "total_benefit": "96.0",
        "adjudication_codes": "45|ar002|benefit|copay|eligible|submitted",
        "status_time": "2021-04-05 00:00:00",
        "source_line": "ExplanationOfBenefit.ndjson:1",
        "reject_reason": None,
    }


def test_the_encounter_of_a_claim_response_is_that_of_its_claim(tmp_path: Path) -> None:
    def response(number: str, reference: str) -> Json:
        return {"resourceType": "ClaimResponse", "id": number, "request": {"reference": reference}}

    claim = {"resourceType": "Claim", "id": "k1", "item": [{}, {"encounter": [{"reference": "Encounter/e1"}]}]}
    report, tables = _flatten(
        tmp_path,
        {
            "ClaimResponse.ndjson": [response("1", "https://server/Claim/k1"), response("2", "Claim/k2")],
            "ExplanationOfBenefit.ndjson": [_eob(claim={"reference": "Claim/k1"})],
            "Claim.ndjson": [claim],
        },
    )
    assert [(row["claim_id"], row["encounter_id"]) for row in tables["fhir_claims"]] == [
        ("ClaimResponse/1", "e1"),
        ("ClaimResponse/2", None),
        ("ExplanationOfBenefit/x1", "e1"),
    ]
    assert report.lookups_by_type == {"Binary": 0, "Claim": 1}


ACTION = {
    "url": REVIEW_ACTION,
    "extension": [{"url": "number"}, {"url": "code", "valueCodeableConcept": _concept("A3")}],
}


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (_eob(outcome="error"), "true"),
        (_eob(total=[_amount("denied", 100)]), "true"),
        (_eob(item=[{"adjudication": [_amount("DenialReason", None, "50")]}]), "true"),
        (_eob(addItem=[{"adjudication": [_amount("x", None, "denied")]}]), "true"),
        (_eob(item=[{"detail": [{"adjudication": [_amount("denied")]}]}]), "true"),
        (_eob(error=[{"code": _concept("denied")}]), "true"),
        (_eob(item=[{"adjudication": [{**_amount("submitted", 9), "extension": [ACTION]}]}]), "true"),
        (_eob(adjudication=[_amount("A3", system="https://codesystem.x12.org/005010/306")]), "true"),
        (_eob(total=[_amount("submitted", 100), _amount("benefit", 0)]), "true"),
        (_eob(total=[_amount("submitted", 100)], payment={"amount": {"value": 0.0}}), "true"),
        (_eob(item=[{"net": {"value": 10}, "adjudication": [_amount("benefit", 0)]}]), "true"),
        (_eob(total=[_amount("benefit", 0), _amount("noncovered", 80)]), "true"),
        # A payer that refuses one line of several pays for the others.
        (_eob(total=[_amount("benefit", 50)], item=[{"adjudication": [_amount("denied")]}]), "false"),
        (_eob(payment={"amount": {"value": 1}}, total=[_amount("benefit", 0), _amount("submitted", 9)]), "false"),
        # Covered, but below the deductible.
        (_eob(total=[_amount("submitted", 100), _amount("benefit", 0), _amount("deductible", 100)]), "false"),
        (_eob(total=[_amount("benefit", 0), _amount("noncovered", 0)]), "false"),
        (_eob(total=[_amount("denied", 0), _amount("benefit", 10)]), "false"),
        (_eob(adjudication=[_amount("A3")]), "false"),
        (_eob(adjudication=[_amount("eligible", 10)]), "false"),
        (_eob(outcome="partial", total=[_amount("benefit", 3)]), "false"),
        (_eob(total=[_amount("submitted", 0), _amount("benefit", 0)]), "false"),
        (_eob(total=[_amount("submitted", 100)]), None),
        (_eob(outcome="queued"), None),
        (_eob(outcome="partial", adjudication=[_amount("eligible")]), None),
        (_eob(), None),
    ],
)
def test_what_counts_as_a_denial(tmp_path: Path, claim: Json, expected: str | None) -> None:
    row = _only(tmp_path, claim)
    assert (row["is_denied"], row["reject_reason"]) == (expected, None)


def test_sums_of_items_stand_in_for_totals(tmp_path: Path) -> None:
    items = [
        {"adjudication": [_amount("submitted", 0.1), _amount("benefit", 0.1)], "net": {"value": 7}},
        {"adjudication": [_amount("submitted", 0.2)], "detail": [{"adjudication": [_amount("submitted", 9)]}]},
    ]
    row = _only(tmp_path, _eob(item=items))
    assert (row["total_submitted"], row["total_benefit"]) == ("0.3", "0.1")


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


@pytest.mark.parametrize("name", [*fhir.TABLE_OF_TYPE, "1.Patient", "patient-2", "export/Encounter.000"])
def test_malformed_lines_are_rows_of_the_table_that_the_file_says(tmp_path: Path, name: str) -> None:
    lines = [*MALFORMED, b"", b"  \t\r"]
    report, tables = _flatten(tmp_path, {"Patient.ndjson": [], "Encounter.ndjson": [], f"{name}.ndjson": lines})
    found = {table: rows for table, rows in tables.items() if rows}
    (rows,) = found.values()
    assert set(found) == {fhir.TABLE_OF_TYPE[fhir.type_of_name(name.rpartition("/")[2]) or ""]}
    numbers = range(1, len(MALFORMED) + 1)
    assert _rejects(rows) == {f"{name}.ndjson:{number}": "malformed_line" for number in numbers}
    assert all(sum(value is not None for value in row.values()) == 2 for row in rows)
    assert report.num_lines == len(MALFORMED)


def test_malformed_lines_elsewhere_go_by_what_remains_of_them(tmp_path: Path) -> None:
    lines = [
        b'{"id": "e2", "resourceType": "Encounter"',
        b'{"id": "o1", "resourceType": "Observation"',
        b'{"resourceType": "Observation", "id": "o2"',
        b"who knows",
    ]
    report, tables = _flatten(tmp_path, {"export.ndjson": lines})
    assert _rejects(tables["fhir_encounters"]) == {"export.ndjson:1": "malformed_line"}
    assert _rejects(tables["fhir_notes"]) == {"export.ndjson:4": "malformed_line"}
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
    _document(_attachment("Plan."), content="Plan."),
    _document({"contentType": 1}),
    _document({"contentType": "text/plain", "data": ["Plan."]}),
    _document(_attachment("Plan."), relatesTo={"code": "replaces"}),
    {"resourceType": "Composition", "id": "k1", "section": [{"text": "<div>Plan.</div>"}]},
    {"resourceType": "DiagnosticReport", "id": "r1", "conclusion": {"text": "Normal."}},
    {"resourceType": "Binary", "id": "b1", "data": 7},
    {"resourceType": "Claim", "id": "k1", "item": {"encounter": []}},
    _eob(total=[{"amount": {"value": "135.57"}}]),
    _eob(total=[{"amount": 135.57}]),
    _eob(total=[_amount("benefit", True)]),
    _eob(item="1205"),
]


@pytest.mark.parametrize("resource", WRONG, ids=str)
def test_wrong_types_are_rejects(tmp_path: Path, resource: Json) -> None:
    _, tables = _flatten(tmp_path, {"all.ndjson": [resource]})
    table = fhir.TABLE_OF_TYPE[resource["resourceType"]]
    rows = [row for row in tables[table] if row["source_line"] == "all.ndjson:1"]
    assert _rejects(rows) == {"all.ndjson:1": "malformed_resource"}
    assert all(sum(value is not None for value in row.values()) == 2 for row in rows)


def test_files_of_any_name_and_other_types(tmp_path: Path) -> None:
    files: Files = {
        "all.ndjson": [PATIENT, {"id": "e1", "resourceType": "Encounter"}, {"resourceType": "Observation", "id": "o"}],
        "sub/Patient.NDJSON": [b"\xef\xbb\xbf" + _line({**PATIENT, "id": "p2"}) + b"\r", ENCOUNTER],
        "Location.1.ndjson.gz": [{"id": "l1", "resourceType": "Location"}, {"resourceType": "Jane Doe", "id": "x"}],
    }
    for name, lines in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data = b"\n".join(map(_line, lines))
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

    flatten_fhir(_write(tmp_path / "in", {}), tmp_path / "out")
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
    (tmp_path / "all.ndjson").write_bytes(_line(ENCOUNTER))
    assert flatten_fhir(tmp_path, tmp_path / "out").rows_by_table["fhir_encounters"] == 1


def test_a_cut_gzip_file_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = _write(tmp_path / "in", {"Condition.ndjson.gz": [{"resourceType": "Condition", "id": "c"}] * 50})
    whole = (folder / "Condition.ndjson.gz").read_bytes()
    (folder / "Condition.ndjson.gz").write_bytes(whole[:-12])
    with pytest.raises(FhirError, match=r"Condition\.ndjson\.gz is not a whole gzip file"):
        flatten_fhir(folder, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_line_that_is_too_long_is_a_reject_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir, "MAXIMUM_LINE_BYTES", 150)
    long = {**PATIENT, "id": "p2", "address": [{"city": "x" * 350}]}
    padding = 150 - len(_line(PATIENT)) - 1
    full = _line(PATIENT)[:-1] + b" " * padding + b"}"
    lines: list[Json | bytes] = [PATIENT, long, full, long, {**PATIENT, "id": "p5"}]
    _, tables = _flatten(
        tmp_path, {"Patient.ndjson": lines, "b.ndjson": [_document({"url": "Binary/b1"}), _binary("P")]}
    )
    assert [row["subject_id"] for row in tables["fhir_patients"]] == ["p1", None, "p1", None, "p5"]
    assert _rejects(tables["fhir_patients"]) == dict.fromkeys(
        ("Patient.ndjson:2", "Patient.ndjson:4"), "malformed_line"
    )
    assert [row["narrative"] for row in tables["fhir_notes"]] == ["P"]


def test_a_note_of_ten_megabytes(tmp_path: Path) -> None:
    text = "Patient denies chest pain.\n" * 400_000
    markup = f"<div>{'<p>Denies &amp; smiles.</p>' * 400_000}</div>"
    _, tables = _flatten(
        tmp_path, {"d.ndjson.gz": [_document(_attachment(text)), _document(_attachment(markup, "text/html"))]}
    )
    plain, html = (row["narrative"] for row in tables["fhir_notes"])
    assert plain == text
    assert html == "\n\n".join(["Denies & smiles."] * 400_000)


def test_row_groups_bound_the_memory_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir, "CHARACTERS_PER_GROUP", 1 << 20)
    documents = [{**_document(_attachment(f"{number} " + "x" * 500_000)), "id": str(number)} for number in range(40)]
    folder = _write(tmp_path / "in", {"d.ndjson": [*documents]})
    tracemalloc.start()
    flatten_fhir(folder, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 14_000_000
    frame = pl.read_parquet(tmp_path / "out" / "fhir_notes.parquet")
    assert frame["narrative"].str.split(" ").list.first().to_list() == [str(number) for number in range(40)]


WORDS = st.sampled_from(
    [
        "id", "text", "coding", "code", "system", "reference", "Patient/p1", "data", "contentType", "text/plain", "url",
        "Binary/b1", "replaces", "2021-01-01", "denied", "submitted", "benefit", "UGxhbi4=", ICD_10, "#x", "urn:uuid:1", "",
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    [
        "id", "text", "div", "coding", "code", "system", "display", "reference", "identifier", "value", "subject", "period",
        "start", "end", "content", "attachment", "data", "contentType", "url", "presentedForm", "section", "title", "type",
        "category", "context", "encounter", "relatesTo", "target", "targetReference", "item", "adjudication", "amount",
        "total", "extension", "valueCodeableConcept", "gender", "birthDate", "address", "city", "class", "location",
        "hospitalization", "dischargeDisposition", "payment", "reason", "error", "detail", "outcome", "request", "author",
    ]
)  # fmt: skip
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=8))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def _resources(draw: st.DrawFn) -> bytes:
    head = {"resourceType": draw(st.sampled_from([*fhir.TABLE_OF_TYPE, "Observation"])), "id": draw(WORDS)}
    values = draw(st.dictionaries(NAMES, VALUES, max_size=6))
    return json.dumps(values | head if draw(st.booleans()) else head | values).encode()


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A whole resource with a value somewhere replaced, or its line cut."""
    examples = [
        _document(_attachment("Plan."), subject={"reference": "Patient/p1"}, type=_concept("1"), author=[{"reference": "a/b"}]),
        _eob(total=[_amount("benefit", 1)], item=[{"adjudication": [_amount("x", 2, "y")]}], claim={"reference": "Claim/1"}),
        {"resourceType": "Composition", "id": "k", "section": [_section("T", "<p>x", _section("U", "y"))]},
        {**PATIENT, "extension": [{"url": US_CORE + "us-core-race", "extension": [{"url": "text", "valueString": "W"}]}]},
        {**ENCOUNTER, "type": [_concept("x")], "hospitalization": {"dischargeDisposition": _concept("exp")}},
        _binary("Plan."),
    ]  # fmt: skip
    resource = json.loads(json.dumps(draw(st.sampled_from(examples))))
    place: Any = resource
    while True:
        key = draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.integers(0, 3)) == 0:
            place[key] = draw(VALUES)
            break
        place = place[key]
    line = json.dumps(resource).encode()
    return line[: draw(st.integers(0, len(line)))] if draw(st.booleans()) else line


LINES = st.one_of(_resources(), _damaged(), st.binary(max_size=30), st.builds(lambda v: json.dumps(v).encode(), VALUES))


@given(
    lines=st.lists(LINES, min_size=1, max_size=12),
    name=st.sampled_from(["Patient", "Composition", "Claim", "Binary", "all"]),
    suffix=st.sampled_from([".ndjson", ".ndjson.gz"]),
)
@settings(max_examples=250, deadline=None)
def test_no_line_is_lost_and_none_stops_the_others(lines: list[bytes], name: str, suffix: str) -> None:
    content = b"\n".join(lines)
    expected = [number for number, line in enumerate(content.split(b"\n"), start=1) if not _is_blank(line, number)]
    with TemporaryDirectory() as folder:
        path = _write(Path(folder) / "in", {})
        (path / f"x.{name}{suffix}").write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
        report = flatten_fhir(path, Path(folder) / "out")
        rows = [row for table in TABLES for row in pl.read_parquet(f"{folder}/out/{table}.parquet").to_dicts()]
    found = [row["source_line"] for row in rows if row["source_line"].startswith("x.")]
    assert len(found) == len(set(found))
    assert set(found) <= {f"x.{name}{suffix}:{number}" for number in expected}
    elsewhere = sum(report.ignored_by_type.values()) + sum(report.lookups_by_type.values())
    assert len(found) + elsewhere == len(expected)
    assert report.num_lines == len(expected) + 2
    assert all(row["reject_reason"] or _key(row) for row in rows)


def _is_blank(line: bytes, number: int) -> bool:
    return not (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()


def _key(row: dict[str, Any]) -> Any:
    return next(iter(row.values()))


@given(markup=st.text(alphabet=st.sampled_from(list("<>/!-[]&;#x \n\t\"'=abptrd")), max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_markup_has_some_text(markup: str) -> None:
    text = html_text(markup)
    assert text == text.strip()
    assert "<script" not in text or "&" in markup


@pytest.mark.skipif(not (SAMPLES / "fhir-bulk-10").is_dir(), reason="needs the samples of SMART's bulk exports")
def test_a_real_export(tmp_path: Path) -> None:
    report = flatten_fhir(SAMPLES / "fhir-bulk-10", tmp_path)
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
    assert notes["narrative"].str.len_chars().median() == 1439
    assert notes["written_time"].str.to_datetime("%Y-%m-%d %H:%M:%S", strict=True).null_count() == 0


@pytest.mark.skipif(not (SAMPLES / "fhir-claims-examples").is_dir(), reason="needs the examples of the FHIR standard")
def test_the_examples_of_the_standard(tmp_path: Path) -> None:
    examples = [json.loads(path.read_text()) for path in sorted((SAMPLES / "fhir-claims-examples").glob("*.json"))]
    _, tables = _flatten(tmp_path, {"all.ndjson": examples})
    assert [row["reject_reason"] for row in tables["fhir_notes"]] == ["unreadable_format"] * 2
    names = ("claim_id", "is_denied", "total_submitted", "total_benefit")
    assert [tuple(row[name] for name in names) for row in tables["fhir_claims"]] == [
        ("ClaimResponse/R3500", "false", "135.57", "90.47"),
        ("ExplanationOfBenefit/EB3500", "false", "135.57", "96.0"),
    ]
