{{ config(materialized="parquet") }}

with notes as (
    select * from {{ ref("stg_notes") }}
),

encounters as (
    select * from {{ ref("stg_encounters") }}
),

candidates as (
    {%- for task in tasks() %}
    select
        '{{ task }}' as task,
        note_id,
        encounter_id,
        prediction_time,
        outcome_time,
        follow_up_end
    from {{ ref("candidates_" ~ task) }}
    where left_at_step is null
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select
    candidates.task,
    candidates.note_id,
    notes.written_time,
    encounters.admit_time,
    encounters.discharge_time,
    candidates.prediction_time,
    candidates.outcome_time,
    candidates.follow_up_end,
    notes.num_characters,
    coalesce(notes.department, encounters.department) as department,
    notes.author_id
from candidates
inner join notes on candidates.note_id = notes.note_id
inner join encounters on candidates.encounter_id = encounters.encounter_id
