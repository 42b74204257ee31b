{{ config(materialized="parquet") }}

{{ cohort_of("comorbidity") }}
