{{ config(materialized="table") }}

with landed as (
    select
        *,
        {{ copy_number() }} as copy_number
    from {{ ref(source_model("encounters")) }}
),

patients as (
    select
        subject_id as known_subject_id,
        birth_date,
        death_date
    from {{ ref("stg_patients") }}
),

typed as (
    select
        landed.*,
        patients.known_subject_id,
        patients.birth_date,
        patients.death_date,
        {{ timestamp_of("landed.admit_time") }} as admitted,
        {{ timestamp_of("landed.discharge_time") }} as discharged
    from landed
    left join patients on landed.subject_id = patients.known_subject_id
),

judged as (
    select
        *,
        case
            {{ reasons_of_any_row() }}
            when encounter_id is null or subject_id is null or admit_time is null then 'missing_value'
            when {{ is_impossible_date("admit_time") }} then 'impossible_date'
            when {{ is_impossible_date("discharge_time") }} then 'impossible_date'
            when discharged < admitted then 'discharge_before_admission'
            when known_subject_id is null then 'orphan_subject'
            when cast(admitted as date) < birth_date then 'admission_before_birth'
        end as row_reason
    from typed
),

ranked as (
    select
        *,
        {{ key_rank(["encounter_id"]) }} as key_rank
    from judged
)

select
    encounter_id,
    subject_id,
    coalesce(nullif(lower(trim(encounter_class)), ''), 'inpatient') as encounter_class,
    admitted as admit_time,
    discharged as discharge_time,
    department,
    admission_type,
    case
        -- Sources that leave dispositions out still know who died during the stay.
        when
            nullif(trim(discharge_disposition), '') is null
            and death_date >= cast(admitted as date)
            and death_date <= cast(discharged as date)
            then '{{ var("death_dispositions")[0] }}'
        else discharge_disposition
    end as discharge_disposition,
    source_table,
    coalesce(malformed_at, row_name) as row_id,
    {{ reject_reason() }} as reject_reason
from ranked
