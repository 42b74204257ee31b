"""What the clinical corpus holds: patients, notes, words; top departments, diagnoses and boroughs (paper appendix G)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

TOP = 5
ATTRIBUTES = ("department", "diagnosis", "borough")
GROUPS = {"hp": "hospital", "discharge": "hospital", "progress": "hospital"}
"""Note type -> the three groups of Fig. G7; radiology and pathology are their own."""

_TITLES_BY_CODES = {
    ("0389", "A419"): "sepsis",
    ("27651", "E860"): "dehydration",
    ("27801", "E6601"): "severe obesity",
    ("29181", "F10230"): "alcohol withdrawal",
    ("4019", "I10"): "hypertension",
    ("41071", "I214"): "non-ST elevation myocardial infarction",
    ("41401", "I2510"): "coronary artery disease",
    ("41519", "I2699"): "pulmonary embolism",
    ("4210", "I330"): "infective endocarditis",
    ("4241", "I350"): "aortic valve disease",
    ("42731", "I4891"): "atrial fibrillation",
    ("46619", "J219"): "bronchiolitis",
    ("486", "J189"): "pneumonia",
    ("51881", "J9601"): "acute respiratory failure",
    ("5409", "K3580"): "acute appendicitis",
    ("5609", "K56609"): "intestinal obstruction",
    ("57400", "K8000"): "gallstones with acute cholecystitis",
    ("5770", "K859"): "acute pancreatitis",
    ("5789", "K922"): "gastrointestinal bleeding",
    ("5849", "N179"): "acute kidney failure",
    ("59010", "N10"): "acute pyelonephritis",
    ("650", "O80"): "delivery",
    ("66971", "O82"): "cesarean delivery",
    ("6826", "L03116"): "cellulitis of the leg",
    ("71535", "M1611"): "osteoarthritis of the hip",
    ("71536", "M1711"): "osteoarthritis of the knee",
    ("72210", "M5116"): "lumbar disc disorder",
    ("78039", "R569"): "convulsions",
    ("7802", "R55"): "syncope",
    ("78650", "R0789"): "chest pain",
    ("82021", "S72141A"): "intertrochanteric fracture",
    ("V5789", "Z5189"): "rehabilitation or aftercare",
    ("V667", "Z515"): "palliative care",
    ("V7231", "Z01419"): "gynecological exam",
    ("V7612", "Z1231"): "screening mammogram",
}
DIAGNOSIS_TITLES: dict[tuple[int, str], str] = {
    (version, code): title
    for codes, title in _TITLES_BY_CODES.items()
    for version, code in zip((9, 10), codes, strict=True)
}
"""ICD version and code, without a dot -> a short name, for the codes that top such lists; any other is its code alone."""


class StatisticsError(ValueError):
    """Tables that cannot be counted."""


def corpus_statistics(
    notes: Path, encounters: Path, diagnoses: Path, patients: Path
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Totals by group, and the top five values of each attribute with their share of the group's notes.

    Streamed: memory holds one row an encounter or patient, never the notes.

    Args:
        notes: a pattern of Parquet files of `schemas.CLEAN_NOTES`.
        encounters, diagnoses, patients: the staged tables.

    Returns:
        `totals` (note_group, num_patients, num_notes, num_words, and a row "all") and `top` (note_group, attribute, rank,
        value, title, num_notes, share, share_missing). A diagnosis is the encounter's first-listed ICD code, with its
        title where `DIAGNOSIS_TITLES` has one (else ""); a note without a department has its encounter's. Notes without a value
        are left out of `share`, as in the figure; `share_missing` is their part of the group's notes.

    Raises:
        StatisticsError: a file cannot be read or lacks a column.
    """
    rows = pl.scan_parquet(notes).select(
        "encounter_id", "subject_id", "department", "num_words", note_group=pl.col("note_type").replace(GROUPS)
    )
    try:
        attributed = with_attributes(rows, encounters, diagnoses, patients)
        return totals_of(rows), pl.concat([top_of(attributed, attribute) for attribute in ATTRIBUTES])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StatisticsError(f"corpus statistics of {notes}: {error}; run the extraction and cleaning again") from None


def totals_of(rows: pl.LazyFrame) -> pl.DataFrame:
    measures = [
        pl.col("subject_id").n_unique().alias("num_patients"),
        pl.len().alias("num_notes"),
        pl.col("num_words").cast(pl.Int64).sum().alias("num_words"),
    ]
    by_group = rows.group_by("note_group").agg(measures).sort("note_group")
    everything = rows.select(pl.lit("all").alias("note_group"), *measures)
    return pl.concat([by_group, everything]).collect(engine="streaming")


def with_attributes(rows: pl.LazyFrame, encounters: Path, diagnoses: Path, patients: Path) -> pl.LazyFrame:
    """Each note with its department, its encounter's first-listed diagnosis and its patient's borough."""
    departments = pl.scan_parquet(encounters).select("encounter_id", admitted_to="department")
    first_listed = pl.struct("icd_version", "icd_code").sort_by("sequence_number", "icd_code").first()
    first_diagnoses = (
        pl.scan_parquet(diagnoses)
        .group_by("encounter_id")
        .agg(first_listed=first_listed)
        .select(
            "encounter_id",
            icd_version=pl.col("first_listed").struct.field("icd_version"),
            diagnosis=pl.col("first_listed").struct.field("icd_code"),
        )
    )
    boroughs = pl.scan_parquet(patients).select("subject_id", "borough")
    return (
        rows.join(departments, on="encounter_id", how="left")
        .join(first_diagnoses, on="encounter_id", how="left")
        .join(boroughs, on="subject_id", how="left")
        .with_columns(department=pl.coalesce("department", "admitted_to"))
    )


def top_of(rows: pl.LazyFrame, attribute: str) -> pl.DataFrame:
    """The top values of one attribute by group; of equals, the first by name."""
    # E871 is a disorder of sodium in ICD-10 and an accident in ICD-9: a code is counted by its version.
    version = pl.col("icd_version").cast(pl.Int32) if attribute == "diagnosis" else pl.lit(None, pl.Int32)
    counted = (
        rows.group_by("note_group", value=pl.col(attribute), icd_version=version)
        .agg(num_notes=pl.len())
        .collect(engine="streaming")
    )
    num_in_group = pl.col("num_notes").sum().over("note_group")
    num_specified = pl.col("num_notes").filter(pl.col("value").is_not_null()).sum().over("note_group")
    return (
        counted.with_columns(
            share=pl.col("num_notes") / num_specified, share_missing=(num_in_group - num_specified) / num_in_group
        )
        .filter(pl.col("value").is_not_null())
        .sort("note_group", "num_notes", "value", "icd_version", descending=[False, True, False, False])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("note_group"))
        .filter(pl.col("rank") <= TOP)
        .with_columns(code=pl.col("value").str.replace_all(".", "", literal=True))
        .join(diagnosis_titles(), on=["icd_version", "code"], how="left", maintain_order="left")
        .select(
            *("note_group", pl.lit(attribute).alias("attribute"), "rank", "value", pl.col("title").fill_null("")),
            *("num_notes", "share", "share_missing"),
        )
    )


def diagnosis_titles() -> pl.DataFrame:
    """`DIAGNOSIS_TITLES` as rows: icd_version, code, title."""
    return pl.DataFrame(
        [(version, code, title) for (version, code), title in DIAGNOSIS_TITLES.items()],
        schema={"icd_version": pl.Int32, "code": pl.String, "title": pl.String},
        orient="row",
    )
