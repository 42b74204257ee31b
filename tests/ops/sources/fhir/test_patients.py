from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.sources.fhir.builders import (
    PATIENT,
    US_CORE,
    only_row,
)


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
    assert only_row(tmp_path, patient) == {
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
    row = only_row(
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
    assert only_row(tmp_path, {**PATIENT, "gender": gender})["sex"] == sex


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (False, "false"), (None, None)])
def test_deceased_may_be_no_more_than_true_or_false(tmp_path: Path, value: bool | None, expected: str | None) -> None:
    assert only_row(tmp_path, {**PATIENT, "deceasedBoolean": value})["deceased"] == expected
