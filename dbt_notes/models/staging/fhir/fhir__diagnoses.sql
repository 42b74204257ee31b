with resources as (
    select * from {{ ref("fhir__raw_fhir_conditions") }}
),

judged as (
    select
        *,
        case
            when reject_reason is not null then reject_reason
            when verification_status in ('entered-in-error', 'refuted') then 'entered_in_error'
            when icd_code is null then 'no_icd_code'
        end as condition_reason
    from resources
)

select
    encounter_id,
    subject_id,
    cast(row_number() over (partition by encounter_id order by condition_id, landed_row) as {{ text_type() }})
        as sequence_number,
    icd_version,
    icd_code,
    {{ carried_with_line("fhir_conditions", "condition_reason") }}
from judged
