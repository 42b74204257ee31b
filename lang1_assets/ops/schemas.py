"""The files that pass between stages, written down once.

Every stage reads and writes files of these schemas and nothing else, so two stages never import each other. Times are
naive local hospital time at microsecond precision; ids are text, because hospitals' ids have leading zeros and letters.
"""

from __future__ import annotations

import pyarrow as pa

# What the embedded hospital writes: CSV files with a header and RFC 4180 quoting (quotes doubled, newlines allowed inside
# quotes), of kind `tables`. Columns of any kind of source are declared in dbt_notes/dbt_project.yml (`source_tables`).
EXPORT_COLUMNS: dict[str, tuple[str, ...]] = {
    "patients": ("subject_id", "birth_date", "sex", "race", "ethnicity", "borough"),
    "encounters": (
        "encounter_id",
        "subject_id",
        "admit_time",
        "discharge_time",
        "department",
        "admission_type",
        "discharge_disposition",
    ),
    "notes": (
        "note_id",
        "encounter_id",
        "subject_id",
        "note_type",
        "department",
        "author_id",
        "written_time",
        "narrative",
        "impression",
        "addendum",
    ),
    "diagnoses": ("encounter_id", "subject_id", "sequence_number", "icd_version", "icd_code"),
    "claims": ("claim_id", "encounter_id", "status", "status_time"),
}

NOTE_TYPES = ("hp", "discharge", "progress", "radiology", "pathology", "other")
"""History and physical, discharge summary, progress note, radiology report, pathology report, any other."""

NARRATIVE_FIELDS = ("narrative", "impression", "addendum")
"""The text columns of a note, joined in this order by cleaning (paper section 5.1)."""

SPLITS = ("train", "val", "test", "temporal_2021", "temporal_2024")
"""ReMedE's five splits (paper 5.2.2). For insurance denial `temporal_2021` is March and April 2022: the paper's Table B1
uses the column of that name, its text gives the dates."""

DEVELOPMENT_SPLITS = ("train", "val", "test")
"""What a source without true dates has."""

TIMESTAMP = pa.timestamp("us")

STAGED_NOTES = pa.schema(
    [
        ("note_id", pa.string()),
        ("encounter_id", pa.string()),
        ("subject_id", pa.string()),
        ("note_type", pa.string()),
        ("department", pa.string()),
        ("author_id", pa.string()),
        ("written_time", TIMESTAMP),
        ("narrative", pa.string()),
        ("impression", pa.string()),
        ("addendum", pa.string()),
    ]
)
"""One row a note, typed and deduplicated, its text still as the hospital wrote it."""

CLEAN_NOTES = pa.schema(
    [
        ("note_id", pa.string()),
        ("encounter_id", pa.string()),
        ("subject_id", pa.string()),
        ("note_type", pa.string()),
        ("department", pa.string()),
        ("written_time", TIMESTAMP),
        ("num_words", pa.int32()),
        ("text", pa.string()),
    ]
)
"""One row a note that survived cleaning: plain ASCII `text`, single spaces, no newline."""

REJECTS = pa.schema(
    [
        ("source", pa.string()),
        ("row_id", pa.string()),
        ("reason", pa.string()),
    ]
)
"""One row for each input row that was left out: which table, which row (its key, or file and line), and why. No text."""

COHORT = pa.schema(
    [
        ("note_id", pa.string()),
        ("encounter_id", pa.string()),
        ("subject_id", pa.string()),
        ("prediction_time", TIMESTAMP),
        ("split", pa.string()),
        ("label", pa.int32()),
        ("age", pa.int32()),
        ("sex", pa.string()),
        ("race", pa.string()),
        ("ethnicity", pa.string()),
        ("borough", pa.string()),
    ]
)
"""One row a labelled note of one task. `prediction_time` is the index time; `label` counts from 0 in the order of the
task's options."""

EXAMPLES = COHORT.append(pa.field("text", pa.string()))
"""A cohort joined with clean text: what finetuning and evaluation read."""

TIMING = pa.schema(
    [
        ("task", pa.string()),
        ("note_id", pa.string()),
        ("written_time", TIMESTAMP),
        ("admit_time", TIMESTAMP),
        ("discharge_time", TIMESTAMP),
        ("prediction_time", TIMESTAMP),
        ("outcome_time", TIMESTAMP),
        ("follow_up_end", TIMESTAMP),
        ("num_characters", pa.int64()),
        ("department", pa.string()),
        ("author_id", pa.string()),
    ]
)
"""One row a labelled note: when everything happened around it, for the leak checks. `outcome_time` is when the label was
known (null where unknown), `follow_up_end` only for readmission."""

PREDICTIONS_FILE, ROWS_FILE, RECORD_FILE = "predictions.parquet", "rows.json", "record.json"
"""What an evaluation leaves behind: probabilities, numbers, what both were made from."""

PREDICTIONS = pa.schema(
    [
        ("note_id", pa.string()),
        ("subject_id", pa.string()),
        ("task", pa.string()),
        ("split", pa.string()),
        ("label", pa.int32()),
        ("probabilities", pa.list_(pa.float64())),
    ]
)
"""One row a scored note: normalised option-letter probabilities in the order of the options. No text."""

ORACLE = pa.schema(
    [
        ("encounter_id", pa.string()),
        ("task", pa.string()),
        ("probabilities", pa.list_(pa.float64())),
    ]
)
"""Only the embedded hospital can write this: the probability of each class given the facts that its note states."""

QUESTIONS = pa.schema(
    [
        ("question_id", pa.string()),
        ("context", pa.string()),
        ("question", pa.string()),
        ("options", pa.list_(pa.string())),
        ("answer", pa.int32()),
    ]
)
"""A multiple-choice comprehension question (SciQ, PubMedQA, the embedded facts); `answer` is an index into `options`."""
