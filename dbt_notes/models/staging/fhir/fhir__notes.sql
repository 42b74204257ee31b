with resources as (
    select * from {{ ref("fhir__raw_fhir_notes") }}
),

judged as (
    select
        *,
        case
            when reject_reason is not null then reject_reason
            when status in ('entered-in-error', 'cancelled') or doc_status = 'entered-in-error' then 'entered_in_error'
            {%- if var("fhir_superseded_notes") == "drop" %}
            when status = 'superseded' then 'superseded'
            {%- elif var("fhir_superseded_notes") == "drop_replaced" %}
            when replaced_by is not null then 'superseded'
            {%- endif %}
        end as note_reason
    from resources
)

select
    note_id,
    encounter_id,
    subject_id,
    {{ note_type_of("type_codes", "concat_ws(' ', type_text, category_text)") }} as note_type,
    department,
    author_id,
    written_time,
    cast(null as {{ text_type() }}) as preference,
    narrative,
    cast(null as {{ text_type() }}) as impression,
    cast(null as {{ text_type() }}) as addendum,
    {{ carried_with_line("fhir_notes", "note_reason") }}
from judged
