{{ config(materialized="parquet") }}

with landed as (
    select
        source_table,
        landed_row,
        narrative,
        impression,
        addendum
    from {{ ref(source_model("notes")) }}
),

notes as (
    select * from {{ ref("checked_notes") }}
    where reject_reason is null
)

select
    notes.note_id,
    notes.encounter_id,
    notes.subject_id,
    notes.note_type,
    notes.department,
    notes.author_id,
    notes.written_time,
    landed.narrative,
    landed.impression,
    landed.addendum
from notes
inner join landed
    on
        notes.source_table = landed.source_table
        and notes.landed_row = landed.landed_row
order by notes.note_id
