with landed as (
    select * from {{ ref("tables__raw_diagnoses") }}
)

select
    encounter_id,
    subject_id,
    sequence_number,
    icd_version,
    icd_code,
    {{ carried("diagnoses", "encounter_id || '/' || coalesce(sequence_number, '')") }}
from landed
