with landed as (
    select * from {{ ref("tables__raw_patients") }}
)

select
    subject_id,
    birth_date,
    sex,
    race,
    ethnicity,
    borough,
    death_date,
    follow_up_end,
    {{ carried("patients", "subject_id") }}
from landed
