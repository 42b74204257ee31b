"""Small valid sources of every kind, and Hypothesis strategies that spoil them in all the ways that hospitals know.

Every text of a note holds `MARKER`, so that a test can see where text of a patient gets to.
"""

from __future__ import annotations

import base64
import copy
import csv
import gzip
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from lang1_assets.ops.sources.layout import SourceTable, source_tables
from tests.dbt_runs import PROJECT

Row = dict[str, str]
Json = dict[str, Any]

MARKER = "Zqxmarker"
NUM_ROWS = 6
NUM_BEFORE = 4
"""Good rows of a table before its spoiled ones; the rest come after them."""
LARGE_NOTE_CHARACTERS = 10_000_000

VALID: Mapping[str, Mapping[str, Row]] = {
    "tables": {
        "patients": {"subject_id": "P{n}", "birth_date": "1950-03-0{n}", "sex": "F", "race": "White"},
        "encounters": {
            "encounter_id": "E{n}",
            "subject_id": "P{n}",
            "admit_time": "2015-03-0{n} 10:00:00",
            "discharge_time": "2015-03-1{n} 10:00:00",
            "discharge_disposition": "Home",
        },
        "notes": {
            "note_id": "N{n}",
            "encounter_id": "E{n}",
            "subject_id": "P{n}",
            "note_type": "hp",
            "written_time": "2015-03-0{n} 12:00:00",
            "narrative": "{text}",
        },
        "diagnoses": {
            "encounter_id": "E{n}",
            "subject_id": "P{n}",
            "sequence_number": "1",
            "icd_version": "9",
            "icd_code": "428.0",
        },
        "claims": {"claim_id": "C{n}", "encounter_id": "E{n}", "status": "paid", "status_time": "2015-04-01"},
    },
    "mimic_iii": {
        "patients": {"subject_id": "{n}", "gender": "F", "dob": "1950-03-0{n} 00:00:00"},
        "admissions": {
            "subject_id": "{n}",
            "hadm_id": "1{n}",
            "admittime": "2015-03-0{n} 10:00:00",
            "dischtime": "2015-03-1{n} 10:00:00",
            "admission_type": "EMERGENCY",
            "hospital_expire_flag": "0",
        },
        "noteevents": {
            "row_id": "2{n}",
            "subject_id": "{n}",
            "hadm_id": "1{n}",
            "chartdate": "2015-03-0{n}",
            "charttime": "2015-03-0{n} 12:00:00",
            "category": "Physician ",
            "description": "Admission Note",
            "text": "{text}",
        },
        "diagnoses_icd": {"subject_id": "{n}", "hadm_id": "1{n}", "seq_num": "1", "icd9_code": "4280"},
        "services": {"hadm_id": "1{n}", "transfertime": "2015-03-0{n} 11:00:00", "curr_service": "MED"},
    },
    "mimic_iv": {
        "patients": {"subject_id": "{n}", "gender": "F", "anchor_age": "50", "anchor_year": "2015"},
        "admissions": {
            "subject_id": "{n}",
            "hadm_id": "1{n}",
            "admittime": "2015-03-0{n} 10:00:00",
            "dischtime": "2015-03-1{n} 10:00:00",
            "admission_type": "URGENT",
            "hospital_expire_flag": "0",
        },
        "diagnoses_icd": {
            "subject_id": "{n}",
            "hadm_id": "1{n}",
            "seq_num": "1",
            "icd_code": "I509",
            "icd_version": "10",
        },
        "services": {"hadm_id": "1{n}", "transfertime": "2015-03-0{n} 11:00:00", "curr_service": "MED"},
        "discharge": {
            "note_id": "{n}-DS-1",
            "subject_id": "{n}",
            "hadm_id": "1{n}",
            "charttime": "2015-03-1{n} 10:00:00",
            "text": "{text}",
        },
        "radiology": {
            "note_id": "{n}-RR-1",
            "subject_id": "{n}",
            "hadm_id": "",
            "charttime": "2015-03-0{n} 12:00:00",
            "text": "{text}",
        },
    },
    "omop": {
        "person": {"person_id": "{n}", "gender_concept_id": "8532", "year_of_birth": "1950", "race_concept_id": "1{n}"},
        "visit_occurrence": {
            "visit_occurrence_id": "1{n}",
            "person_id": "{n}",
            "visit_concept_id": "9201",
            "visit_start_date": "2015-03-0{n}",
            "visit_end_date": "2015-03-1{n}",
            "care_site_id": "{n}",
        },
        "note": {
            "note_id": "2{n}",
            "person_id": "{n}",
            "note_date": "2015-03-0{n}",
            "note_title": "H&P",
            "note_text": "{text}",
            "visit_occurrence_id": "1{n}",
        },
        "condition_occurrence": {
            "condition_occurrence_id": "3{n}",
            "person_id": "{n}",
            "visit_occurrence_id": "1{n}",
            "condition_source_value": "I50.9",
            "condition_source_concept_id": "1{n}",
        },
        "death": {"person_id": "{n}", "death_date": "2016-03-0{n}"},
        "observation_period": {
            "observation_period_id": "{n}",
            "person_id": "{n}",
            "observation_period_end_date": "2017-03-0{n}",
        },
        "concept": {
            "concept_id": "1{n}",
            "concept_name": "Heart failure",
            "vocabulary_id": "ICD10CM",
            "concept_code": "I50.9",
        },
        "care_site": {"care_site_id": "{n}", "care_site_name": "Medicine"},
        "location": {"location_id": "{n}", "county": "Kings", "city": "Brooklyn"},
    },
}
NOTE_TABLES = {
    "tables": ("notes",),
    "mimic_iii": ("noteevents",),
    "mimic_iv": ("discharge", "radiology"),
    "omop": ("note",),
}
TEXT_COLUMNS = ("narrative", "text", "note_text")

NUMBERS = (
    "",
    " ",
    "0",
    "-1",
    "3.5",
    "1e999",
    "nan",
    "2147483647",
    "-2147483648",
    "9" * 40,
    "0x1F",
    "١٢",
    "1_000",
    "+7",
)
DATES = (
    "0000-00-00",
    "0000-01-01 00:00:00",
    "0001-01-01",
    "9999-12-31 23:59:59",
    "2021-02-30",
    "2015-03-01 25:00:00",
    "infinity",
    "-infinity",
    "epoch",
    "now",
    "290309-12-22 (BC) 00:00:00",
    "294247-01-10 04:00:54.775806",
    "-0044-03-15",
    "2015-03-01T10:00:00+99:99",
    "2015-03-01T10:00:00.123456789-05:00",
    "2015-03-01 10:00:00 Europe/Berlin",
    "01/02/2015",
    "20150301",
)
TEXTS = (
    'quo"te',
    '"',
    "O'Brien",
    "a,b;c\td",
    "é漢字🙂\u202e",
    "x" * 5_000,
    "two\nlines",
    "two\r\nlines",
    "lone\rreturn",
    "nul\0byte",
    "\x01\x1b[31m\x7f",
    "\ufeffmark",
    "{{ env_var('HOME') }}",
    "'; drop table patients; --",
    "%s \\N \\",
    " padded ",
    "null",
    "NULL",
    "True",
)
EXTRA_COLUMNS = (
    "",
    "note",
    "landed_row",
    "malformed_at",
    "filename",
    "it's",
    'quo"te',
    "a b",
    "{{ x }}",
    "é",
    "x" * 300,
    "1",
)
FOLDERS = ("", "sub", "it's", "a b", "é", "of [2024]", "a*b", "what?", "{x}", "%20")
FORMS = (
    "csv",
    "csv crlf",
    "csv mark",
    "csv.gz",
    "parquet",
    "parquet typed",
    "parquet mixed",
    "csv several",
    "csv bare end",
)
EXACT_DAMAGES = (
    "words after a quote",
    "latin-1",
    "too many fields",
    "too few fields",
    "blank line",
    "long line",
    "nul line",
    "text as fields",
)
"""Damages of one line that leave the others as they are."""
DAMAGES = (*EXACT_DAMAGES, "unclosed quote")
STOPPED = ("lone carriage return", "other line ending", "cut gzip")
"""Damages that stop the run, with the file's name: few, so that most examples run."""
MAY_STOP = (*STOPPED, "unclosed quote")


def text_of_note(name: str) -> str:
    """With everything that CSV must quote and that is easily normalized away."""
    return f'Seen ({name}), {MARKER} says "weak", café 漢 denies\nfever, chills;\ttab\r\nand {MARKER} again. '


@dataclass(frozen=True, kw_only=True)
class FuzzedSource:
    """Files, and what is known of what was written into them."""

    kind: str
    files: Mapping[str, bytes] = field(repr=False)
    num_records: Mapping[str, tuple[int, int]] = field(repr=False)
    """Table -> fewest and most records; they differ where a damage may swallow the lines that follow it."""
    good_notes: Mapping[str, tuple[str, str]] = field(repr=False)
    """Note -> person and text, of the notes that nothing is wrong with."""
    changes: tuple[str, ...]
    may_stop: bool

    def write(self, folder: Path) -> None:
        for name, content in self.files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done to one table."""

    form: str
    folder: str
    left_out: tuple[str, ...]
    extra: tuple[str, ...]
    is_reversed: bool
    damages: tuple[str, ...]
    values: tuple[str, ...]
    has_large_note: bool

    def __str__(self) -> str:
        return (
            f"{self.form} in {self.folder!r} without {self.left_out} with {self.extra}, {self.damages}, "
            f"{len(self.values)} values{', reversed' if self.is_reversed else ''}"
        )


# Tables ------------------------------------------------------------------------------------------------------------------


@st.composite
def spoiled_tables(draw: st.DrawFn, kind: str) -> FuzzedSource:
    """The first example of a search is the simplest: every spoiled value in every column, and no damage to files."""
    tables = source_tables(PROJECT, kind)
    present = [table for table in tables if not table.may_be_absent or draw(st.integers(0, 9)) != 7]
    return planned_source(kind, {table.name: draw(plans(table)) for table in present})


def one_of_each(kind: str) -> FuzzedSource:
    """Every table in another form and folder, with columns without a name, and with other damages."""
    tables = source_tables(PROJECT, kind)
    by_table = {
        table.name: Plan(
            form=FORMS[-1 - number % len(FORMS)],
            folder=FOLDERS[1 + number % (len(FOLDERS) - 1)],
            left_out=(),
            extra=("", EXTRA_COLUMNS[1 + number]),
            is_reversed=number % 2 == 1,
            damages=("text as fields", EXACT_DAMAGES[number % len(EXACT_DAMAGES)]),
            values=(*DATES, *NUMBERS, *TEXTS),
            has_large_note=table.name in NOTE_TABLES[kind],
        )
        for number, table in enumerate(tables)
    }
    return planned_source(kind, by_table)


def planned_source(kind: str, plans_by_table: Mapping[str, Plan]) -> FuzzedSource:
    files: dict[str, bytes] = {}
    num_records: dict[str, tuple[int, int]] = {}
    for table in source_tables(PROJECT, kind):
        if plan := plans_by_table.get(table.name):
            written, *num_records_of_table = written_table(kind, table, plan)
            files |= {f"{plan.folder}/{name}" if plan.folder else name: content for name, content in written.items()}
            num_records[table.name] = (num_records_of_table[0], num_records_of_table[1])
    damages = {damage for plan in plans_by_table.values() for damage in plan.damages}
    notes = [] if "unclosed quote" in damages else [name for name in NOTE_TABLES[kind] if name in num_records]
    return FuzzedSource(
        kind=kind,
        files=files,
        num_records=num_records,
        good_notes=good_notes(kind, notes),
        changes=tuple(f"{name} {plan}" for name, plan in plans_by_table.items()),
        may_stop=bool(damages & set(MAY_STOP)),
    )


@st.composite
def plans(draw: st.DrawFn, table: SourceTable) -> Plan:
    form = draw(st.sampled_from(FORMS))
    every_value = (*DATES, *NUMBERS, *TEXTS)
    used = {name for name in table.optional if name in template_of(table)}
    skipped = draw(st.sets(st.sampled_from(every_value)))
    damages = draw(st.lists(st.sampled_from(DAMAGES), max_size=2, unique=True))
    damages += [draw(st.sampled_from(STOPPED))] if draw(st.integers(0, 29)) == 17 else []
    return Plan(
        form=form,
        folder=draw(st.sampled_from(FOLDERS)),
        left_out=tuple(sorted(draw(st.sets(st.sampled_from(sorted(set(table.optional) - used) or [""]))) - {""})),
        extra=tuple(sorted(draw(st.sets(st.sampled_from(EXTRA_COLUMNS), max_size=3)) - set(table.columns))),
        is_reversed=draw(st.booleans()),
        damages=tuple(damages) if "csv" in form and form != "csv several" else (),
        values=tuple(value for value in every_value if value not in skipped),
        has_large_note=draw(st.integers(0, 9)) == 7,
    )


def template_of(table: SourceTable) -> Row:
    return next(
        tables[table.name] for tables in VALID.values() if set(tables.get(table.name, {"": ""})) <= set(table.columns)
    )


def good_rows(kind: str, table: str) -> list[Row]:
    return [
        {
            name: value.format(n=number, text=text_of_note(f"{table} {number}"))
            for name, value in VALID[kind][table].items()
        }
        for number in range(1, NUM_ROWS + 1)
    ]


def good_notes(kind: str, tables: Sequence[str]) -> dict[str, tuple[str, str]]:
    notes = {}
    for table in tables:
        for row in good_rows(kind, table):
            key, text = row.get("note_id") or row["row_id"], next(row[name] for name in TEXT_COLUMNS if name in row)
            notes[key] = row.get("subject_id") or row["person_id"], text
    return notes


def spoiled_rows(kind: str, table: SourceTable, plan: Plan) -> Iterator[Row]:
    """Copies of the first good row, each with one value spoiled, its key sometimes its own; then duplicates."""
    good = good_rows(kind, table.name)[0]
    key = next(iter(good)) if kind != "mimic_iii" and kind != "mimic_iv" else key_of(good)
    for column in table.columns:
        if column in plan.left_out:
            continue
        for number, value in enumerate(plan.values):
            own = {} if number % 4 == 3 else {key: f"{number}00{table.columns.index(column)}"}
            yield {**good, **own, column: value}
    yield good
    yield {**good, key: "P404"}
    if plan.has_large_note:
        column = next((name for name in TEXT_COLUMNS if name in good), key)
        yield {**good, key: "777", column: MARKER + " large" * (LARGE_NOTE_CHARACTERS // 6)}


def key_of(row: Row) -> str:
    return next(name for name in ("row_id", "note_id", "hadm_id", "subject_id") if name in row)


def written_table(kind: str, table: SourceTable, plan: Plan) -> tuple[dict[str, bytes], int, int]:
    """Files by name, and how many records they have: fewest and most."""
    good, spoiled = good_rows(kind, table.name), list(spoiled_rows(kind, table, plan))
    columns = [name for name in table.columns if name not in plan.left_out]
    columns = [*plan.extra, *(reversed(columns) if plan.is_reversed else columns)]
    before, after = good[:NUM_BEFORE], good[NUM_BEFORE:]
    number = len(good) + len(spoiled)
    if plan.form == "parquet":
        return {f"{table.name}.parquet": as_parquet([*before, *spoiled, *after], columns)}, number, number
    if plan.form == "parquet typed":
        return {f"{table.name.upper()}.PARQUET": as_parquet(good, columns, is_typed=True)}, len(good), len(good)
    if plan.form == "parquet mixed":
        typed, text = as_parquet(before, columns, is_typed=True), as_parquet([*spoiled, *after], columns)
        return {f"{table.name}-1.parquet": typed, f"{table.name}-2.parquet": text}, number, number
    if plan.form == "csv several":
        first, second = as_csv(before, columns), as_csv([*spoiled, *after], columns[::-1])
        empty = as_csv([], columns)
        return (
            {f"{table.name}-1.csv": first, f"{table.name}_2.csv": second, f"{table.name}3.csv": empty},
            number,
            number,
        )
    return damaged_csv(table, plan, columns, (before, spoiled, after))


def damaged_csv(
    table: SourceTable, plan: Plan, columns: list[str], rows: tuple[list[Row], list[Row], list[Row]]
) -> tuple[dict[str, bytes], int, int]:
    before, spoiled, after = rows
    ending = "\r\n" if plan.form == "csv crlf" else "\n"
    most = fewest = sum(map(len, rows))
    body = as_csv([*before, *spoiled], columns, ending)
    for damage in plan.damages:
        line, num_fewest, num_most = damaged_line(damage, before[0], columns, ending)
        body += line
        fewest, most = fewest + num_fewest, most + num_most
    if "unclosed quote" in plan.damages:
        fewest -= len(after) + len(plan.damages)
    body += as_csv(after, columns, ending, has_header=False)
    if plan.form == "csv bare end":
        body = body.removesuffix(b"\n")
    if plan.form == "csv mark":
        body = b"\xef\xbb\xbf" + body
    if plan.form == "csv.gz" or "cut gzip" in plan.damages:
        zipped = gzip.compress(body)
        return {f"{table.name}.csv.gz": zipped[:-20] if "cut gzip" in plan.damages else zipped}, fewest, most
    return {f"{table.name}.csv": body}, fewest, most


def damaged_line(damage: str, good: Row, columns: list[str], ending: str) -> tuple[bytes, int, int]:
    """The line, and how many records it may be taken for."""
    end = ending.encode()
    other = b"\n" if ending == "\r\n" else b"\r\n"
    fields = [b"D1"] * len(columns)
    quoted = b'"' + MARKER.encode() + b" unwell"
    match damage:
        case "too few fields":
            return quoted + b'"' + end, int(len(columns) > 1), 1
        case "too many fields":
            return b",".join([*fields, quoted + b'"', b"E1"]) + end, 1, 1
        case "latin-1":
            return b",".join([quoted + b' caf\xe9"', *fields[1:]]) + end, 1, 1
        case "blank line":
            return end, 0, 0
        case "words after a quote":
            return b",".join([quoted + b'" more', *fields[1:]]) + end, 1, 1
        case "text as fields":
            # Of a text that was not quoted: its lines may have as many commas as the table has.
            return b",".join([f"feeling unwell {MARKER} today".encode()] * len(columns)) + end, 1, 1
        case "long line":
            return b",".join([quoted + b" " * 17_000_000 + b'"', *fields[1:]]) + end, 1, 1
        case "unclosed quote":
            return b",".join([quoted, *fields[1:]]) + end, 1, 1
        case "lone carriage return":
            return b",".join([b"a\rb", *fields[1:]]) + end, 0, 2
        case "other line ending":
            return b",".join(fields) + other, 0, 2
        case "nul line":
            return b"\0\0\0" + end, int(len(columns) > 1), 1
    return b"", 0, 0


def as_csv(rows: Sequence[Row], columns: Sequence[str], ending: str = "\n", *, has_header: bool = True) -> bytes:
    stream = io.StringIO(newline="")
    # Everything quoted, because Python 3.11 leaves a lone carriage return bare.
    writer = csv.writer(stream, lineterminator=ending, quoting=csv.QUOTE_ALL)
    if has_header:
        writer.writerow(columns)
    writer.writerows([row.get(name, "") for name in columns] for row in rows)
    return stream.getvalue().encode()


def as_parquet(rows: Sequence[Row], columns: Sequence[str], *, is_typed: bool = False) -> bytes:
    """All text; or, typed, numbers and times where all values are some, and lists in the columns that nothing reads."""
    arrays: list[pa.Array] = []
    for name in columns:
        values = [row.get(name) for row in rows]
        if is_typed and name in EXTRA_COLUMNS:
            arrays.append(pa.array([[1, 2]] * len(rows)))
        else:
            arrays.append(typed_array(values) if is_typed else pa.array(values, pa.string()))
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), stream)
    return stream.getvalue()


def typed_array(values: Sequence[str | None]) -> pa.Array:
    array = pa.array(values, pa.string())
    for wanted in (pa.int64(), pa.timestamp("us"), pa.date32()):
        try:
            return array.cast(wanted)
        except pa.ArrowInvalid:
            continue
    return pa.array(values, pa.large_string())


# FHIR --------------------------------------------------------------------------------------------------------------------

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


# X12 835 -----------------------------------------------------------------------------------------------------------------

ISA = "ISA*00*          *00*          *ZZ*ACME           *ZZ*HOSPITAL       *220110*1000*^*00501*000000007*0*P*:"
WRONG_ELEMENTS = (
    "",
    " ",
    "-1",
    "1e9",
    "9" * 40,
    "é",
    "\x01",
    "a\nb",
    "nan",
    "20210230",
    "00000000",
    "x" * 70_000,
    ":",
    "^",
)


def remittance(accounts: Sequence[str]) -> list[str]:
    claims = [
        segment
        for account in accounts
        for segment in (
            f"CLP*{account}*1*100*100*0*12*ICN{account}*11*1",
            f"NM1*QC*1*{MARKER}*FIRST****MI*MEMBER",
            "DTM*232*20150301",
            "CAS*CO*45*10",
            "SVC*HC:99213*100*100",
            "REF*EA*1",
        )
    ]
    head = ("BPR*I*100*C*ACH*CCP*01*1*DA*3*1**01*1*DA*2*20150401", "DTM*405*20150402", "N1*PR*ACME", "LX*1")
    inside = ["ST*835*0001", *head, *claims]
    inside.append(f"SE*{len(inside) + 1}*0001")
    return [ISA, "GS*HP*ACME*HOSPITAL*20220110*1000*7*X*005010X221A1", *inside, "GE*1*7", "IEA*1*000000007"]


@st.composite
def spoiled_remittances(draw: st.DrawFn) -> dict[str, bytes]:
    """A good file, and others in which one or more segments are spoiled."""
    whole = remittance([f"E{number}" for number in range(1, NUM_ROWS + 1)])
    files = {"good.835": "~".join([*whole, ""]).encode()}
    for number in range(draw(st.integers(8, 30))):
        segments = list(whole)
        for _ in range(draw(st.integers(1, 3))):
            segments = draw(spoiled_segments(segments))
        data = draw(st.sampled_from(["~", "~\n", "~\r\n"])).join([*segments, ""]).encode()
        data = data[: draw(st.sampled_from([None, -1, -40, len(data) // 2]))]
        zipped = draw(st.booleans())
        files[f"bad {number}.edi{'.gz' if zipped else ''}"] = gzip.compress(data) if zipped else data
    return files


@st.composite
def spoiled_segments(draw: st.DrawFn, segments: list[str]) -> list[str]:
    place = draw(st.integers(0, len(segments) - 1))
    segment = segments[place]
    match draw(st.integers(0, 6)):
        case 0:
            new = []
        case 1:
            new = [segment, segment]
        case 2:
            new = [segment + "*" + draw(st.sampled_from(WRONG_ELEMENTS))]
        case 3:
            new = [segment[: len(segment) // 2]]
        case 4:
            new = [segment.replace("*", draw(st.sampled_from(["|", "", "**"])))]
        case 5:
            new = ["ZZZ*1", segment, ""]
        case _:
            elements = segment.split("*")
            elements[draw(st.integers(0, len(elements) - 1))] = draw(st.sampled_from(WRONG_ELEMENTS))
            new = ["*".join(elements)]
    return [*segments[:place], *new, *segments[place + 1 :]]


def num_claims_of(data: bytes) -> int:
    """CLP segments, found without any idea of envelopes; none in a file that does not begin as X12 with these delimiters."""
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    if not data.startswith((b"ISA*", b"GS*", b"ST*")):
        return 0
    return len(re.findall(rb"(?:^|~[\r\n]*)CLP\*", data[: data.rfind(b"~") + 1]))
