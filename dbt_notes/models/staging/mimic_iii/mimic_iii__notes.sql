with noteevents as (
    select
        *,
        lower(trim(category)) as category_text,
        -- 'Resident / Attending' and 'Resident/Attending' are one.
        replace(replace(lower(description), ' /', '/'), '/ ', '/') as description_text
    from {{ ref("mimic_iii__raw_noteevents") }}
),

judged as (
    select
        *,
        -- Paper 5.2.3: descriptions with "admission" but not "readmission".
        coalesce(description_text like '%admission%' and description_text not like '%readmission%', false)
            as is_admission_note
    from noteevents
)

select
    row_id as note_id,
    hadm_id as encounter_id,
    subject_id,
    case
        when is_admission_note then 'hp'
        when category_text = 'discharge summary' then 'discharge'
        when category_text = 'radiology' then 'radiology'
        when category_text like 'physician%' or category_text like 'nurs%' or category_text = 'general' then 'progress'
        when category_text is not null then 'other'
    end as note_type,
    category as department,
    cgid as author_id,
    -- Where only the date is known, the end of that day: nothing may seem to be known too early.
    coalesce(charttime, substr(chartdate, 1, 10) || ' 23:59:59') as written_time,
    case
        when is_admission_note
            then
                cast(
                    10 * case
                        when category_text like 'physician%' then 1
                        when category_text = 'general' then 2
                        when category_text like 'nurs%' then 3
                        else 4
                    end
                    + case
                        when description_text like '%resident/attending%' then 1
                        when description_text like '%resident%' then 2
                        when description_text like '%attending%' then 3
                        when description_text like '%fellow%' then 4
                        when description_text like '%h&p%' then 5
                        else 6
                    end
                    as {{ text_type() }}
                )
    end as preference,
    text as narrative,
    cast(null as {{ text_type() }}) as impression,
    cast(null as {{ text_type() }}) as addendum,
    {{ carried("noteevents", "row_id", "case when trim(iserror) = '1' then 'marked_as_error' end") }}
from judged
