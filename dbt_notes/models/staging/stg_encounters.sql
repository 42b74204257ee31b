select
    encounter_id,
    subject_id,
    encounter_class,
    admit_time,
    discharge_time,
    department,
    admission_type,
    discharge_disposition
from {{ ref("checked_encounters") }}
where reject_reason is null
