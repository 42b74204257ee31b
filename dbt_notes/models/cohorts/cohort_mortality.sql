{{ config(materialized="parquet") }}

{{ cohort_of("mortality") }}
