with remittances as (
    select * from {{ ref("x12_835__raw_remittances") }}
)

select
    -- The payer's number of the claim, else the hospital's account.
    coalesce(payer_claim_id, claim_id) as claim_id,
    claim_id as encounter_id,
    case
        when claim_status_code = '22' then 'reversed'
        else {{ claim_status("is_denied", "claim_id", "status_time") }}
    end as status,
    status_time,
    landed_export,
    {{ carried_with_line("remittances") }}
from remittances
