{{ config(materialized="table") }}

with landed as (
    select
        *,
        {{ copy_number() }} as copy_number,
        {{ integer_of("sequence_number") }} as sequence_value
    from {{ ref(source_model("diagnoses")) }}
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
        encounters.known_encounter_id,
        encounters.encounter_subject_id
    from landed
    left join encounters on landed.encounter_id = encounters.known_encounter_id
),

judged as (
    select
        *,
        case
            {{ reasons_of_any_row() }}
            when
                encounter_id is null
                or subject_id is null
                or nullif(trim(icd_code), '') is null
                then 'missing_value'
            when sequence_value is null or sequence_value < 1 then 'bad_number'
            when icd_version is null or trim(icd_version) not in ('9', '10') then 'bad_number'
            when known_encounter_id is null then 'orphan_encounter'
            when encounter_subject_id <> subject_id then 'subject_mismatch'
        end as row_reason
    from joined
),

ranked as (
    select
        *,
        {{ key_rank(["encounter_id", "sequence_value"]) }} as key_rank
    from judged
)

select
    encounter_id,
    subject_id,
    sequence_value as sequence_number,
    {{ integer_of("icd_version") }} as icd_version,
    upper(replace(trim(icd_code), '.', '')) as icd_code,
    source_table,
    coalesce(malformed_at, row_name) as row_id,
    {{ reject_reason() }} as reject_reason
from ranked
