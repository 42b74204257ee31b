from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.sources.fhir.builders import (
    ENCOUNTER,
    concept_of,
    only_row,
)


def test_an_encounter_in_full(tmp_path: Path) -> None:
    encounter = {
        **ENCOUNTER,
        "status": "finished",
        "class": {"code": "IMP"},
        "type": [concept_of("t", text="Visit")],
        "serviceType": concept_of("c", display="Cardiology"),
        "priority": concept_of("EM"),
        "subject": {"reference": "Patient/p1"},
        "period": {"start": "2021-01-02T03:04:05Z", "end": "2021-01-03"},
        "hospitalization": {
            "admitSource": concept_of("emd", display="From emergency"),
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
    row = only_row(tmp_path, encounter)
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
    row = only_row(tmp_path, {name: value for name, value in encounter.items() if name not in left_out})
    assert (row["department"], row["admission_type"]) == (department, admission_type)


def test_a_stay_over_the_end_of_daylight_saving_time_does_not_end_before_it_began(tmp_path: Path) -> None:
    period = {"start": "2022-11-06T01:52:06-04:00", "end": "2022-11-06T01:07:06-05:00"}
    row = only_row(tmp_path, {**ENCOUNTER, "period": period})
    assert (row["start_time"], row["end_time"]) == ("2022-11-06 01:52:06", "2022-11-06 02:07:06")
