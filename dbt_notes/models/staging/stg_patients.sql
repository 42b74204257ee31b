select
    subject_id,
    birth_date,
    sex,
    race,
    ethnicity,
    borough,
    death_date,
    follow_up_end
from {{ ref("checked_patients") }}
where reject_reason is null
