{{ config(materialized="parquet") }}

{{ cohort_of("insurance_denial") }}
