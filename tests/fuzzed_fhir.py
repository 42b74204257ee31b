"""A small FHIR export, spoiled by Hypothesis."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.fuzzed_sources import DATES, FOLDERS, MARKER, NUM_BEFORE, NUM_ROWS, TEXTS, FuzzedSource, Json

WRONG: tuple[Any, ...] = (
    None,
    1,
    -1.5,
    True,
    "",
    " ",
    [],
    {},
    [[]],
    [None],
    {"x": 1},
    "nul\0",
    "\ud800",
    "x" * 5_000,
    10**30,
)
BROKEN_LINES = (
    b'{"resourceType": "Patient", "id": "x"',
    b"[]",
    b"null",
    b"5",
    b'"' + MARKER.encode() + b'"',
    b'{"resourceType": 5, "id": "x"}',
    b'{"resourceType": "", "id": "x"}',
    b'{"id": "x"}',
    b'{"resourceType": "Patient"}',
    b'{"resourceType": "Encounter", "id": NaN}',
    b'{"resourceType": "DocumentReference", "id": "\xe9"}',
    b"{" * 5_000,
    b"[" * 100_000,
    b'{"resourceType": "DocumentReference", "id": "x", "text": "' + MARKER.encode(),
    b"\0\0",
    b'{"resourceType": "Observation", "id": "ignored", "note": "' + MARKER.encode() + b'"}',
    b'{"resourceType": "Patient", "id": "x"} {"resourceType": "Patient", "id": "y"}',
)


def fhir_resources(number: int) -> list[Json]:
    patient, stay = {"reference": f"Patient/p{number}"}, {"reference": f"Encounter/e{number}"}
    text = base64.b64encode(fhir_text(number).encode()).decode()
    loinc = {"coding": [{"system": "http://loinc.org", "code": "34117-2", "display": "H&P"}]}
    icd = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "I50.9"}]}
    amount = {"category": {"coding": [{"code": "benefit"}]}, "amount": {"value": 10.5}}
    return [
        {
            "resourceType": "Patient",
            "id": f"p{number}",
            "birthDate": "1950-03-01",
            "gender": "female",
            "address": [{"city": "Brooklyn"}],
            "deceasedBoolean": False,
        },
        {
            "resourceType": "Encounter",
            "id": f"e{number}",
            "status": "finished",
            "class": {"code": "IMP"},
            "subject": patient,
            "period": {"start": "2015-03-01T10:00:00Z", "end": "2015-03-05T10:00:00+01:00"},
            "hospitalization": {"dischargeDisposition": {"coding": [{"code": "home"}], "text": "Home"}},
            "serviceType": {"text": "Medicine"},
        },
        {
            "resourceType": "DocumentReference",
            "id": f"d{number}",
            "status": "current",
            "type": loinc,
            "subject": patient,
            "date": "2015-03-01T12:00:00Z",
            "context": {"encounter": [stay]},
            "author": [{"reference": "Practitioner/1"}],
            "content": [{"attachment": {"contentType": "text/plain", "data": text}}],
        },
        {
            "resourceType": "Condition",
            "id": f"c{number}",
            "subject": patient,
            "encounter": stay,
            "code": icd,
            "verificationStatus": {"coding": [{"code": "confirmed"}]},
        },
        {
            "resourceType": "ExplanationOfBenefit",
            "id": f"b{number}",
            "status": "active",
            "use": "claim",
            "outcome": "complete",
            "created": "2015-04-01",
            "patient": patient,
            "item": [{"encounter": [stay], "adjudication": [amount], "net": {"value": 20}}],
            "total": [amount],
            "payment": {"amount": {"value": 10.5}},
        },
    ]


def fhir_text(number: int) -> str:
    return f"Seen {number}, {MARKER} says weak, café 漢 denies\nfever and {MARKER} again."


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from paths_of(child, (*path, key))


def replaced(resource: Json, path: tuple[str | int, ...], value: Any) -> Json:
    changed = copy.deepcopy(resource)
    held: Any = changed
    for step in path[:-1]:
        held = held[step]
    held[path[-1]] = value
    return changed


@st.composite
def spoiled_fhir(draw: st.DrawFn) -> FuzzedSource:
    """Every wrong value at every path of every resource but those that were drawn to stay."""
    skipped = draw(st.sets(st.integers(0, len(WRONG) - 1)))
    texts = (*DATES, *draw(st.lists(st.sampled_from(TEXTS), unique=True)))
    wrong = (*(value for number, value in enumerate(WRONG) if number not in skipped), *texts)
    broken = draw(st.lists(st.sampled_from(BROKEN_LINES), unique=True)) or list(BROKEN_LINES)
    ending = draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
    good = [fhir_resources(number) for number in range(1, NUM_ROWS + 1)]
    files: dict[str, bytes] = {}
    num_lines = 0
    for place, resource in enumerate(good[0]):
        bad = [
            replaced({**resource, "id": f"x{number}-{step}"}, path, value)
            for number, path in enumerate(paths_of(resource))
            for step, value in enumerate(wrong)
        ]
        held = [resources[place] for resources in good]
        lines = [as_line(each) for each in [*held[:NUM_BEFORE], *bad]] + broken + [as_line(held[0])]
        lines += [as_line(each) for each in held[NUM_BEFORE:]]
        num_lines += len(lines)
        content = ending.join(lines) + draw(st.sampled_from([b"", b"\n"]))
        name = f"{draw(st.sampled_from(FOLDERS)) or 'here'}/{resource['resourceType']}.000.ndjson"
        if draw(st.booleans()):
            files[f"{name}.gz"] = gzip.compress(b"\xef\xbb\xbf" + content)
        else:
            files[name] = content
    return FuzzedSource(
        kind="fhir",
        files=files,
        num_records={"": (num_lines, num_lines)},
        good_notes={
            f"DocumentReference/d{number}": (f"p{number}", fhir_text(number)) for number in range(1, NUM_ROWS + 1)
        },
        changes=(f"{len(wrong)} values, {len(broken)} lines, ending {ending!r}, {sorted(files)}",),
        may_stop=False,
    )


def as_line(resource: Json) -> bytes:
    """Lone surrogates and NUL as escapes."""
    return json.dumps(resource).encode()
