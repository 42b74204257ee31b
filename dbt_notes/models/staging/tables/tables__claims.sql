with landed as (
    select * from {{ ref("tables__raw_claims") }}
)

select
    claim_id,
    encounter_id,
    status,
    status_time,
    landed_export,
    {{ carried("claims", "claim_id") }}
from landed
