{{ config(materialized="table") }}

with landed as (
    select
        source_table,
        landed_row,
        note_id,
        encounter_id,
        subject_id,
        note_type,
        department,
        author_id,
        written_time,
        preference,
        malformed_at,
        source_reason,
        row_name,
        coalesce(length(narrative), 0)
        + coalesce(length(impression), 0)
        + coalesce(length(addendum), 0) as num_characters,
        {{ copy_number() }} as copy_number
    from {{ ref(source_model("notes")) }}
),

patients as (
    select subject_id as known_subject_id
    from {{ ref("stg_patients") }}
),

encounters as (
    select
        encounter_id as known_encounter_id,
        subject_id as encounter_subject_id
    from {{ ref("stg_encounters") }}
),

joined as (
    select
        landed.*,
        patients.known_subject_id,
        encounters.known_encounter_id,
        encounters.encounter_subject_id
    from landed
    left join patients on landed.subject_id = patients.known_subject_id
    left join encounters on landed.encounter_id = encounters.known_encounter_id
),

judged as (
    select
        *,
        case
            {{ reasons_of_any_row() }}
            when note_id is null or subject_id is null or written_time is null then 'missing_value'
            when
                note_type is null
                or note_type not in ('hp', 'discharge', 'progress', 'radiology', 'pathology', 'other')
                then 'unknown_note_type'
            when preference is not null and {{ integer_of("preference") }} is null then 'bad_number'
            when {{ is_impossible_date("written_time") }} then 'impossible_date'
            when known_subject_id is null then 'orphan_subject'
            when encounter_id is not null and known_encounter_id is null then 'orphan_encounter'
            when encounter_subject_id <> subject_id then 'subject_mismatch'
        end as row_reason
    from joined
),

ranked as (
    select
        *,
        {{ key_rank(["note_id"]) }} as key_rank
    from judged
)

select
    note_id,
    encounter_id,
    subject_id,
    note_type,
    department,
    author_id,
    {{ timestamp_of("written_time") }} as written_time,
    {{ integer_of("preference") }} as preference,
    cast(num_characters as bigint) as num_characters,
    source_table,
    landed_row,
    coalesce(malformed_at, row_name) as row_id,
    {{ reject_reason() }} as reject_reason
from ranked
