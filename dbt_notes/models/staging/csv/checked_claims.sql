with landed as (
    select
        rowid as landed_row,
        *,
        {{ copy_number() }} as copy_number
    from {{ ref("raw_claims") }}
),

encounters as (
    select encounter_id as known_encounter_id
    from {{ ref("stg_encounters") }}
),

joined as (
    select
        landed.*,
        encounters.known_encounter_id
    from landed
    left join encounters on landed.encounter_id = encounters.known_encounter_id
),

judged as (
    select
        *,
        case
            {{ reasons_of_any_row() }}
            when claim_id is null or encounter_id is null or nullif(trim(status), '') is null then 'missing_value'
            when {{ is_impossible_date("status_time") }} then 'impossible_date'
            when known_encounter_id is null then 'orphan_encounter'
        end as row_reason
    from joined
),

ranked as (
    select
        *,
        {{ key_rank(["claim_id", "encounter_id", "status", "status_time"]) }} as key_rank
    from judged
)

select
    claim_id,
    encounter_id,
    status,
    {{ timestamp_of("status_time") }} as status_time,
    coalesce(malformed_at, claim_id) as row_id,
    {{ reject_reason() }} as reject_reason
from ranked
