{{ config(materialized="parquet") }}

with stays as (
    select * from {{ ref("stg_encounters") }}
)

select
    encounter_id,
    subject_id,
    encounter_class,
    admit_time,
    discharge_time,
    department,
    admission_type,
    discharge_disposition,
    cast({{ calendar_days("admit_time", "discharge_time") }} as integer) as length_of_stay_days
from stays
order by encounter_id
