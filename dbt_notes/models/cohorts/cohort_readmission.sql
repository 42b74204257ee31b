{{ config(materialized="parquet") }}

{{ cohort_of("readmission") }}
