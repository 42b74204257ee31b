select
    subject_id,
    birth_date,
    sex,
    race,
    ethnicity,
    borough
from {{ ref("checked_patients") }}
where reject_reason is null
