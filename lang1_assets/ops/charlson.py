"""The Charlson comorbidity index of each encounter, from its ICD codes (paper 5.2.2; Charlson 1987, Quan 2005)."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from pycomorb import comorbidity

SCORE_COLUMN = "Charlson Comorbidity Index"
"""pycomorb's name of the score without age points: 69 % of the paper's scores are 0, so age is not in the label."""

VERSION_LABELS = {9: "ICD-9", 10: "ICD-10"}
"""What pycomorb calls the versions. With any other label it takes a code for ICD-10 and silently scores it 0."""


def charlson_scores(diagnoses: pa.Table | pl.DataFrame) -> pa.Table:
    """Score every encounter that has an ICD code.

    Args:
        diagnoses: One row a code: `encounter_id` (text), `icd_version` (9 or 10), `icd_code` (with or without a dot).

    Returns:
        One row an encounter, ordered by id: `encounter_id` (text), `charlson_score` (int32, 0 to 29). A disease coded
        in both versions counts once; of a severe and a mild form of one disease only the severe one counts.

    Raises:
        ValueError: if a version is neither 9 nor 10.
    """
    codes = pl.DataFrame(diagnoses).select(
        pl.col("encounter_id").cast(pl.String),
        pl.col("icd_version").cast(pl.Int32),
        pl.col("icd_code").cast(pl.String),
    )
    _check_versions(codes)
    scores = comorbidity(
        "charlson",
        codes.with_columns(
            pl.col("icd_version").replace_strict(VERSION_LABELS, return_dtype=pl.String), age=pl.lit(0, pl.Int32)
        ),
        id_col="encounter_id",
        code_col="icd_code",
        icd_version="icd9_10",
        icd_version_col="icd_version",
        implementation="quan",
        weights="charlson",
    )
    return (
        scores.select("encounter_id", pl.col(SCORE_COLUMN).cast(pl.Int32).alias("charlson_score"))
        .sort("encounter_id")
        .to_arrow(compat_level=pl.CompatLevel.oldest())
    )


def _check_versions(codes: pl.DataFrame) -> None:
    unknown = codes.filter(~pl.col("icd_version").is_in(list(VERSION_LABELS)).fill_null(False))
    if not unknown.is_empty():
        found = ", ".join(sorted({str(version) for version in unknown["icd_version"]}))
        raise ValueError(f"icd_version: found {found} in {unknown.height} rows; expected 9 or 10; correct the export")
