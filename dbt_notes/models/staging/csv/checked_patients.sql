with landed as (
    select
        rowid as landed_row,
        *,
        {{ copy_number() }} as copy_number
    from {{ ref("raw_patients") }}
),

judged as (
    select
        *,
        case
            {{ reasons_of_any_row() }}
            when subject_id is null then 'missing_value'
            when {{ is_impossible_date("birth_date") }} then 'impossible_date'
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
    coalesce(malformed_at, subject_id) as row_id,
    {{ reject_reason() }} as reject_reason
from ranked
