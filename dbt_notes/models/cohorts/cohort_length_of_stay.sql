{{ config(materialized="parquet") }}

{{ cohort_of("length_of_stay") }}
