with landed as (
    select * from {{ ref("tables__raw_notes") }}
)

select
    note_id,
    encounter_id,
    subject_id,
    note_type,
    department,
    author_id,
    written_time,
    preference,
    narrative,
    impression,
    addendum,
    {{ carried("notes", "note_id") }}
from landed
