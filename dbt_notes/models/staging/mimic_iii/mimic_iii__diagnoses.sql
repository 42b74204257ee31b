with diagnoses_icd as (
    select * from {{ ref("mimic_iii__raw_diagnoses_icd") }}
)

select
    hadm_id as encounter_id,
    subject_id,
    seq_num as sequence_number,
    '9' as icd_version,
    icd9_code as icd_code,
    {{ carried("diagnoses_icd", "hadm_id || '/' || coalesce(seq_num, '')") }}
from diagnoses_icd
