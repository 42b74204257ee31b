from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.sources.fhir.builders import (
    ICD_9,
    ICD_10,
    concept_of,
    only_row,
)


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
        "verificationStatus": concept_of("confirmed"),
    }
    row = only_row(tmp_path, condition)
    assert (row["icd_version"], row["icd_code"]) == expected
    others = ("condition_id", "encounter_id", "subject_id", "verification_status", "reject_reason")
    assert tuple(row[name] for name in others) == ("c1", "e1", "p1", "confirmed", None)
