{{ config(materialized="table") }}

with landed as (
    select
        *,
        {{ copy_number() }} as copy_number
    from {{ ref(source_model("patients")) }}
),

judged as (
    select
        *,
        case
            {{ reasons_of_any_row() }}
            when subject_id is null then 'missing_value'
            when {{ is_impossible_date("birth_date") }} then 'impossible_date'
            when {{ is_impossible_date("death_date") }} then 'impossible_date'
            when {{ is_impossible_date("follow_up_end") }} then 'impossible_date'
        end as row_reason
    from landed
),

ranked as (
    select
        *,
        {{ key_rank(["subject_id"]) }} as key_rank
    from judged
)

select
    subject_id,
    {{ date_of("birth_date") }} as birth_date,
    sex,
    race,
    ethnicity,
    borough,
    {{ date_of("death_date") }} as death_date,
    {{ timestamp_of("follow_up_end") }} as follow_up_end,
    source_table,
    coalesce(malformed_at, row_name) as row_id,
    {{ reject_reason() }} as reject_reason
from ranked
