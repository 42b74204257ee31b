with resources as (
    select * from {{ ref("fhir__raw_fhir_claims") }}
),

judged as (
    select
        *,
        case
            when reject_reason is not null then reject_reason
            when status in ('cancelled', 'draft', 'entered-in-error') then 'entered_in_error'
            -- Authorizations before the fact are no claims.
            when use <> 'claim' then 'not_a_claim'
        end as claim_reason
    from resources
)

select
    claim_id,
    encounter_id,
    {{ claim_status("is_denied", "encounter_id", "status_time") }} as status,
    status_time,
    landed_export,
    {{ carried_with_line("fhir_claims", "claim_reason") }}
from judged
