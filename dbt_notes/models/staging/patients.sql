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
    borough
from people
order by subject_id
