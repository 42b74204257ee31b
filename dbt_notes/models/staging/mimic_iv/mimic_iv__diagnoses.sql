with diagnoses_icd as (
    select * from {{ ref("mimic_iv__raw_diagnoses_icd") }}
)

select
    hadm_id as encounter_id,
    subject_id,
    seq_num as sequence_number,
    icd_version,
    icd_code,
    {{ carried("diagnoses_icd", "hadm_id || '/' || coalesce(seq_num, '')") }}
from diagnoses_icd
