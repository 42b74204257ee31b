from __future__ import annotations

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.sources.fhir import flatten_fhir
from lang1_assets.ops.sources.fhir.tables import TABLE_OF_TYPE, TABLES
from tests.ops.sources.fhir.builders import (
    ENCOUNTER,
    ICD_10,
    PATIENT,
    US_CORE,
    amount_of,
    attachment_of,
    binary_of,
    concept_of,
    document_of,
    eob_of,
    section_of,
    write_export,
)

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
    head = {"resourceType": draw(st.sampled_from([*TABLE_OF_TYPE, "Observation"])), "id": draw(WORDS)}
    values = draw(st.dictionaries(NAMES, VALUES, max_size=6))
    return json.dumps(values | head if draw(st.booleans()) else head | values).encode()


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A whole resource with a value somewhere replaced, or its line cut."""
    examples = [
        document_of(attachment_of("P"), subject={"reference": "Patient/p1"}, type=concept_of("1"), author=[{"reference": "a/b"}]),
        eob_of(total=[amount_of("benefit", 1)], item=[{"adjudication": [amount_of("x", 2, "y")]}], claim={"reference": "Claim/1"}),
        {"resourceType": "Composition", "id": "k", "section": [section_of("T", "<p>x", section_of("U", "y"))]},
        {**PATIENT, "extension": [{"url": US_CORE + "us-core-race", "extension": [{"url": "text", "valueString": "W"}]}]},
        {**ENCOUNTER, "type": [concept_of("x")], "hospitalization": {"dischargeDisposition": concept_of("exp")}},
        binary_of("Plan."),
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
        path = write_export(Path(folder) / "in", {})
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
