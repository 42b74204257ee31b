{{ config(materialized="parquet") }}

with candidates as (
    {%- for task in tasks() %}
    select
        '{{ task }}' as task,
        subject_id,
        encounter_id,
        -- What is in the cohort never leaves.
        coalesce(left_at_step, 1000) as left_at_step
    from {{ ref("candidates_" ~ task) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

-- A stay, or a person, leaves with the last of its notes.
lost as (
    select
        task,
        'note' as counted,
        left_at_step,
        count(*) as num_left
    from candidates
    group by task, left_at_step
    {%- for counted, column in {"encounter": "encounter_id", "patient": "subject_id"}.items() %}
    union all
    select
        task,
        '{{ counted }}' as counted,
        left_at_step,
        count(*) as num_left
    from (
        select
            task,
            {{ column }},
            max(left_at_step) as left_at_step
        from candidates
        group by task, {{ column }}
    ) as {{ counted }}s
    group by task, left_at_step
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
    cast(coalesce(sum(lost.num_left) filter (where lost.counted = 'note'), 0) as bigint) as num_notes_left,
    cast(coalesce(sum(lost.num_left) filter (where lost.counted = 'encounter'), 0) as bigint) as num_encounters_left,
    cast(coalesce(sum(lost.num_left) filter (where lost.counted = 'patient'), 0) as bigint) as num_patients_left
from steps
left join lost
    on
        steps.task = lost.task
        and steps.step_number < lost.left_at_step
group by steps.task, steps.step_number, steps.step
order by steps.task, steps.step_number
