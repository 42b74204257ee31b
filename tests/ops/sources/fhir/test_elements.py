from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from lang1_assets.ops.sources.fhir.elements import Element, MalformedResourceError
from tests.ops.sources.fhir.builders import (
    Json,
)


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


def test_times_of_nested_elements_are_on_the_clock_of_the_zone() -> None:
    times = {"date": " 2021-01-01T03:00:00Z ", "empty": " "}
    resource = Element({**times, "one": times, "many": [times]}, ZoneInfo("America/New_York"))
    found = [each.time("date") for each in (resource, resource.object("one"), *resource.objects("many"))]
    assert found == ["2020-12-31 22:00:00"] * 3
    assert resource.time("empty") is None
    assert resource.object("missing").time("date") is None


@pytest.mark.parametrize("name", ["start", "end"])
def test_a_period_of_wrong_type_is_an_error(name: str) -> None:
    with pytest.raises(MalformedResourceError):
        Element({name: 2021}).start_and_end()
