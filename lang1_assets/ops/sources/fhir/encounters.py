"""Encounters of a FHIR export as rows."""

from __future__ import annotations

from lang1_assets.ops.sources.fhir.elements import Element, Row

COLUMNS = (
    "encounter_id",
    "subject_id",
    "class_code",
    "status",
    "start_time",
    "end_time",
    "department",
    "admission_type",
    "disposition_code",
    "disposition_text",
)
DISPOSITIONS = "http://terminology.hl7.org/CodeSystem/discharge-disposition"


def encounter_row(encounter: Element) -> Row:
    encounter_id, stay = encounter.text("id"), encounter.object("hospitalization")
    start_time, end_time = encounter.object("period").start_and_end()
    disposition = stay.object("dischargeDisposition")
    locations = (each.object("location").text("display") for each in encounter.objects("location"))
    types = (each.label() for each in encounter.objects("type"))
    codes = disposition.codes((DISPOSITIONS,)) or disposition.codes()
    return {
        "encounter_id": encounter_id,
        "subject_id": encounter.object("subject").reference_id("Patient", encounter_id),
        "class_code": encounter.object("class").text("code"),
        "status": encounter.text("status"),
        "start_time": start_time,
        "end_time": end_time,
        "department": encounter.object("serviceType").label()
        or next(filter(None, locations), None)
        or encounter.object("serviceProvider").text("display"),
        "admission_type": encounter.object("priority").label()
        or stay.object("admitSource").label()
        or next(filter(None, types), None),
        "disposition_code": codes[0] if codes else None,
        "disposition_text": disposition.label(),
    }
