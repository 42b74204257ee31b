select
    note_id,
    encounter_id,
    subject_id,
    note_type,
    department,
    author_id,
    written_time,
    preference,
    num_characters
from {{ ref("checked_notes") }}
where reject_reason is null
