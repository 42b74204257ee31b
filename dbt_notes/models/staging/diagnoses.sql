{{ config(materialized="parquet") }}

with codes as (
    select * from {{ ref("stg_diagnoses") }}
)

select
    encounter_id,
    subject_id,
    sequence_number,
    icd_version,
    icd_code
from codes
order by encounter_id, sequence_number
