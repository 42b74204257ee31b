{{ config(materialized="parquet") }}

with people as (
    select * from {{ ref("stg_patients") }}
)

select
    subject_id,
    birth_date,
    sex,
    race,
    ethnicity,
    borough,
    death_date,
    follow_up_end
from people
order by subject_id
