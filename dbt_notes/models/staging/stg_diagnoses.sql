select
    encounter_id,
    subject_id,
    sequence_number,
    icd_version,
    icd_code
from {{ ref("checked_diagnoses") }}
where reject_reason is null
