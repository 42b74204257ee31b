from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.sources.fhir.builders import (
    Json,
    attachment_of,
    concept_of,
    document_of,
    flatten_files,
    line_of,
    narrative_of,
    only_row,
    section_of,
)


def test_a_document_in_full(tmp_path: Path) -> None:
    document = document_of(
        attachment_of("Chief complaint: caf\N{LATIN SMALL LETTER E WITH ACUTE}.\nPlan.", "text/plain; charset=utf-8"),
        status="current",
        docStatus="final",
        type={
            "coding": [
                {"system": "http://loinc.org", "code": "34117-2", "display": "History and physical note"},
                {"system": "local", "code": "HP"},
                {"system": "urn:oid:2.16.840.1.113883.6.1", "code": "51847-2"},
            ]
        },
        category=[{"text": "Clinical Note"}, concept_of("x", display="Ward")],
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
    assert only_row(tmp_path, document) == {
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
    attachment = {**attachment_of("Plan."), "creation": "2021-02"}
    context = {"period": {"start": "2021-03", "end": "2021-04"}}
    variants = [
        document_of(attachment, date="2021-01", context=context),
        document_of(attachment, context=context),
        document_of(attachment_of("Plan."), context=context),
        document_of(attachment_of("Plan."), context={"period": {"start": "2021-03"}}),
        document_of(attachment_of("Plan.")),
    ]
    _, tables = flatten_files(tmp_path, {"notes.ndjson": [*variants]})
    found = [row["written_time"] and row["written_time"][:7] for row in tables["fhir_notes"]]
    assert found == ["2021-01", "2021-02", "2021-04", "2021-03", None]


def test_a_diagnostic_report(tmp_path: Path) -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "category": [concept_of("RAD", display="Radiology")],
        "code": concept_of("18748-4", system="http://loinc.org", display="Imaging study"),
        "subject": {"reference": "Patient/p1"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveDateTime": "2021-01-01T10:00:00Z",
        "issued": "2021-01-01T12:30:00Z",
        "performer": [{"reference": "Organization/o", "display": "Imaging"}],
        "resultsInterpreter": [{"reference": "Practitioner/dr"}],
        "presentedForm": [attachment_of("Chest x-ray. No effusion.")],
        "conclusion": "Normal.",
    }
    row = only_row(tmp_path, report)
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
        ([attachment_of("All normal.")], "normal", ("All normal.", None)),
        ([], "Normal.", ("Normal.", None)),
        ([attachment_of(b"%PDF-1.7", "application/pdf")], "Normal.", ("Normal.", None)),
        ([attachment_of(b"%PDF-1.7", "application/pdf")], None, (None, "unreadable_format")),
        ([], None, (None, "no_text")),
    ],
)
def test_a_report_is_its_form_its_conclusion_or_both(
    tmp_path: Path, forms: list[Json], conclusion: str | None, expected: tuple[str | None, str | None]
) -> None:
    report = {"resourceType": "DiagnosticReport", "id": "r1", "presentedForm": forms, "conclusion": conclusion}
    assert narrative_of(tmp_path, report) == expected


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
    assert only_row(tmp_path, report)["written_time"] == expected


def test_a_composition_with_nested_sections(tmp_path: Path) -> None:
    composition = {
        "resourceType": "Composition",
        "id": "k1",
        "status": "final",
        "type": concept_of("18842-5", system="http://loinc.org"),
        "title": "Discharge summary",
        "subject": {"reference": "urn:uuid:p1"},
        "encounter": {"reference": "urn:uuid:e1"},
        "date": "2021-01-09",
        "author": [{"reference": "Practitioner/dr"}],
        "section": [
            section_of(
                "Course",
                "<p>Stable.</p>",
                section_of("Day 1", None, section_of("Night", "Slept.")),
                section_of("Day 2", ""),
            ),
            {**section_of(None, "Home<br/>today"), "code": {"text": "Plan"}},
            section_of("Nothing", None),
        ],
    }
    row = only_row(tmp_path, composition)
    assert row["narrative"] == "Course\nStable.\n\nDay 1\nNight\nSlept.\n\nPlan\nHome\ntoday"
    names = ("note_id", "encounter_id", "subject_id", "written_time", "type_codes", "type_text", "author_id")
    assert [row[name] for name in names] == [
        "Composition/k1", "e1", "p1", "2021-01-09 00:00:00", "18842-5", "18842-5", "dr",
    ]  # fmt: skip


def test_a_composition_of_titles_alone_has_no_text_and_no_depth_is_too_deep(tmp_path: Path) -> None:
    shallow: Json = {"resourceType": "Composition", "id": "k1", "section": [section_of("Course", None)]}
    assert narrative_of(tmp_path, shallow) == (None, "no_text")
    # As deep as orjson follows.
    for depth in (505, 600):
        section = b'{"section": [' * depth + line_of(section_of(None, "deep")) + b"]}" * depth
        line = b'{"resourceType": "Composition", "id": "k1", "section": [' + section + b"]}"
        _, tables = flatten_files(tmp_path / str(depth), {"Composition.ndjson": [line]})
        (row,) = tables["fhir_notes"]
        assert (row["narrative"], row["reject_reason"]) == (
            ("deep", None) if depth == 505 else (None, "malformed_line")
        )


def test_notes_know_what_replaces_them_whatever_the_order(tmp_path: Path) -> None:
    def replacing(note_id: str, target: str, code: str = "replaces") -> Json:
        return {
            **document_of(attachment_of("B")),
            "id": note_id,
            "relatesTo": [{"code": code, "target": {"reference": target}}],
        }

    old = {**document_of(attachment_of("A")), "id": "old"}
    appended = {**document_of(attachment_of("A")), "id": "appended"}
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
    _, tables = flatten_files(tmp_path, {"notes.ndjson.gz": [*notes]})
    assert {row["note_id"]: row["replaced_by"] for row in tables["fhir_notes"] if row["replaced_by"]} == {
        "DocumentReference/old": "DocumentReference/new",
        "DocumentReference/new": "DocumentReference/newer",
        "Composition/old": "Composition/k2",
    }
