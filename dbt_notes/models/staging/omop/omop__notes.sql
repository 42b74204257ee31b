with note as (
    select * from {{ ref("omop__raw_note") }}
),

concept as (
    select * from {{ ref("omop__concept") }}
    where reject_reason is null
),

titled as (
    select
        note.*,
        case when concept.vocabulary_id = 'LOINC' then concept.concept_code end as loinc_code,
        concat_ws(' ', note.note_title, note.note_source_value, concept.concept_name) as title
    from note
    left join concept on note.note_class_concept_id = concept.concept_id
)

select
    note_id,
    visit_occurrence_id as encounter_id,
    person_id as subject_id,
    {{ note_type_of("loinc_code", "title") }} as note_type,
    cast(null as {{ text_type() }}) as department,
    provider_id as author_id,
    -- Where only the date is known, the end of that day: nothing may seem to be known too early.
    coalesce(note_datetime, substr(note_date, 1, 10) || ' 23:59:59') as written_time,
    cast(null as {{ text_type() }}) as preference,
    note_text as narrative,
    cast(null as {{ text_type() }}) as impression,
    cast(null as {{ text_type() }}) as addendum,
    {{ carried("note", "note_id") }}
from titled
