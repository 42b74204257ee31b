{{ config(materialized="parquet") }}

with candidates as (
    {%- for task in tasks() %}
    select
        '{{ task }}' as task,
        subject_id,
        encounter_id,
        left_at_step
    from {{ ref("candidates_" ~ task) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

steps as (
    {%- for task in tasks() %}
    select
        '{{ task }}' as task,
        0 as step_number,
        'notes of the right type in a known encounter' as step
    {%- for column, meaning in cohort_steps(task) %}
    union all
    select
        '{{ task }}' as task,
        {{ loop.index }} as step_number,
        {{ sql_text(meaning) }} as step
    {%- endfor %}
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select
    steps.task,
    steps.step_number,
    steps.step,
    count(candidates.encounter_id) as num_notes_left,
    count(distinct candidates.encounter_id) as num_encounters_left,
    count(distinct candidates.subject_id) as num_patients_left
from steps
left join candidates
    on
        steps.task = candidates.task
        and (candidates.left_at_step is null or steps.step_number < candidates.left_at_step)
group by steps.task, steps.step_number, steps.step
order by steps.task, steps.step_number
