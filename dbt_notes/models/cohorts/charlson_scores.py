"""Charlson comorbidity index of each encounter with ICD codes (see lang1_assets.ops.charlson)."""

from lang1_assets.ops.charlson import charlson_scores


def model(dbt, session):
    dbt.config(materialized="table")
    diagnoses = dbt.ref("stg_diagnoses").select("encounter_id, icd_version, icd_code")
    return charlson_scores(diagnoses.to_arrow_table())
