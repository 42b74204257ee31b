with landed as (
    select * from {{ ref("tables__raw_encounters") }}
)

select
    encounter_id,
    subject_id,
    encounter_class,
    admit_time,
    discharge_time,
    department,
    admission_type,
    discharge_disposition,
    {{ carried("encounters", "encounter_id") }}
from landed
