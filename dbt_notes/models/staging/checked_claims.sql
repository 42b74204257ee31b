{{ config(materialized="table") }}

{%- set claims = source_model("claims") %}
with landed as (
    {%- if claims %}
    select
        *,
        {{ copy_number() }} as copy_number
    from {{ ref(claims) }}
    {%- else %}
    -- This kind of source has no claims.
    select
        {%- for column in ["claim_id", "encounter_id", "status", "status_time"] %}
        cast(null as {{ text_type() }}) as {{ column }},
        {%- endfor %}
        cast(null as {{ text_type() }}) as source_table,
        cast(null as bigint) as landed_row,
        cast(null as integer) as landed_export,
        cast(null as {{ text_type() }}) as malformed_at,
        cast(null as {{ text_type() }}) as source_reason,
        cast(null as {{ text_type() }}) as row_name,
        1 as copy_number
    where false
    {%- endif %}
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
        {{ key_rank(["claim_id", "encounter_id", "status", "status_time"]) }} as key_rank,
        -- A claim stands whole in each export that has it: what earlier ones say of it is no longer so.
        min(landed_export) over (partition by claim_id, encounter_id, row_reason is null) as latest_export
    from judged
)

select
    claim_id,
    encounter_id,
    status,
    {{ timestamp_of("status_time") }} as status_time,
    source_table,
    coalesce(malformed_at, row_name) as row_id,
    coalesce(
        row_reason, case when key_rank > 1 or landed_export > latest_export then 'duplicate_key' end
    ) as reject_reason
from ranked
