select
    claim_id,
    encounter_id,
    status,
    status_time
from {{ ref("checked_claims") }}
where reject_reason is null
