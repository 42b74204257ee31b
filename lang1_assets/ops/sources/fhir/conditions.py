"""Diagnoses of a FHIR export as rows: Conditions with an ICD code."""

from __future__ import annotations

import re

from lang1_assets.ops.sources.fhir.elements import Element, Row

COLUMNS = (
    "condition_id",
    "encounter_id",
    "subject_id",
    "icd_version",
    "icd_code",
    "verification_status",
)
ICD_SYSTEM = re.compile(r"https?://(hl7\.org/fhir/sid|fhir\.de/codesystem/(bfarm|dimdi))/icd-(10|9)(?!-pcs)(-[a-z]+)?")
ICD_OIDS = {
    "urn:oid:2.16.840.1.113883.6.90": "10",
    "urn:oid:2.16.840.1.113883.6.3": "10",
    "urn:oid:2.16.840.1.113883.6.103": "9",
    "urn:oid:2.16.840.1.113883.6.42": "9",
}
"""ICD-10-CM, ICD-10, ICD-9-CM diagnoses and ICD-9."""


def condition_row(condition: Element) -> Row:
    condition_id = condition.text("id")
    codings = [
        (icd_version(coding.text("system")), coding.text("code"))
        for coding in condition.object("code").objects("coding")
    ]
    version, code = next(
        ((wanted, code) for wanted in ("10", "9") for found, code in codings if found == wanted and code), (None, None)
    )
    statuses = condition.object("verificationStatus").codes()
    return {
        "condition_id": condition_id,
        "encounter_id": condition.object("encounter").reference_id("Encounter", condition_id),
        "subject_id": condition.object("subject").reference_id("Patient", condition_id),
        "icd_version": version,
        "icd_code": code,
        "verification_status": statuses[0] if statuses else condition.object("verificationStatus").text("text"),
    }


def icd_version(system: str | None) -> str | None:
    """'9' or '10' for the systems of ICD diagnoses, national ones such as icd-10-gm included; never procedures."""
    lower = (system or "").lower().rstrip("/")
    found = ICD_SYSTEM.fullmatch(lower)
    return ICD_OIDS.get(lower) or (found[3] if found else None)
