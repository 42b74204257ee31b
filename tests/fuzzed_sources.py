"""Small valid sources of every kind, and Hypothesis strategies that spoil them in all the ways that hospitals know.

Every text of a note holds `MARKER`, so that a test can see where text of a patient gets to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
