{#- Calendar days between two times: 0 for admission and discharge on one date. -#}
{%- macro length_of_stay_days(admit_time, discharge_time) -%}
(cast({{ discharge_time }} as date) - cast({{ admit_time }} as date))
{%- endmacro -%}


{#- A list of texts as SQL literals, lower case. -#}
{%- macro lower_list(texts) -%}
({%- for text in texts -%}'{{ text | lower | replace("'", "''") }}'{{ ", " if not loop.last }}{%- endfor -%})
{%- endmacro -%}


{#- The window of `split_windows[windows]` that a discharge time lies in; null when in none. -#}
{%- macro study_window(windows, discharge_time) -%}
{%- if var("evaluate_only") -%}
case when {{ discharge_time }} is not null then 'landed' end
{%- else -%}
case
        {%- for name, bounds in var("split_windows")[windows].items() %}
        when
            {{ discharge_time }} >= timestamp '{{ bounds[0] }} 00:00:00'
            and {{ discharge_time }} < timestamp '{{ bounds[1] }} 00:00:00'
            then '{{ name }}'
        {%- endfor %}
    end
{%- endif -%}
{%- endmacro -%}


{#- True for the note that an encounter contributes, among its notes for which `eligible` holds. -#}
{%- macro is_chosen_note(eligible, which) -%}
{%- if which == "all" -%}
{{ eligible }}
{%- elif which in ("first", "last") -%}
(
        {{ eligible }}
        and row_number() over (
            partition by encounter_id, {{ eligible }}
            order by written_time {{ "desc" if which == "last" }}, note_id
        ) = 1
    )
{%- else -%}
{{ exceptions.raise_compiler_error("which note: expected 'first', 'last' or 'all', found '" ~ which ~ "'") }}
{%- endif -%}
{%- endmacro -%}


{#-
  The steps from notes of the right type to a cohort, in order: a boolean column of `candidates_TASK` and what it asks.
  Both the cohorts and their attrition are made from this list.
-#}
{%- macro cohort_steps(task) -%}
{%- set hp = [
    ["encounter_has_ended", "the encounter has a discharge time"],
    ["is_in_study_window", "discharged within the study windows"],
    ["is_written_in_time", "written within the hours allowed around admission and before discharge"],
    ["is_chosen_note", "the one note chosen for its encounter"],
] -%}
{{ return({
    "readmission": [
        ["encounter_has_ended", "the encounter has a discharge time"],
        ["is_in_study_window", "discharged within the study windows"],
        ["is_acute_department", "not from rehabilitation, dialysis or palliative care"],
        ["is_discharged_alive", "discharged alive"],
        ["is_written_in_time", "written within the hours allowed after discharge"],
        ["is_chosen_note", "the one note chosen for its encounter"],
        ["has_complete_follow_up", "followed up for the whole readmission window"],
    ],
    "mortality": hp,
    "length_of_stay": hp,
    "comorbidity": hp + [["has_label", "the encounter has ICD codes"]],
    "insurance_denial": hp + [["has_label", "the encounter has a claim whose status decides the label"]],
}[task]) }}
{%- endmacro -%}


{#- The number of the first step that a candidate fails; null when it passes all. -#}
{%- macro left_at_step(task) -%}
case
        {%- for column, _ in cohort_steps(task) %}
        when not coalesce({{ column }}, false) then {{ loop.index }}
        {%- endfor %}
    end
{%- endmacro -%}


{#-
  A candidate's id and labels as a cohort with the columns of `schemas.COHORT`: split and age and groups added.

  The development window is cut by rank: exact shares whatever the ids, the same on every database, because only md5 is
  used. The hash leaves the task out, so that a note lies in the same part for all tasks as far as ranks allow.
-#}
{%- macro cohort_of(task) -%}
{%- set unit = {"note": "note_id", "patient": "subject_id"}.get(var("split_by")) -%}
{%- if not unit -%}
    {%- do exceptions.raise_compiler_error("split_by: expected 'note' or 'patient', found '" ~ var("split_by") ~ "'") -%}
{%- endif -%}
with candidates as (
    select * from {{ ref("candidates_" ~ task) }}
    where left_at_step is null
),

patients as (
    select * from {{ ref("stg_patients") }}
),

units as (
    select distinct {{ unit }} as unit_id
    from candidates
    where study_window = 'development'
),

ranked_units as (
    select
        unit_id,
        row_number() over (order by md5(unit_id || ':{{ var("split_seed") }}'), unit_id) as unit_rank,
        count(*) over () as num_units
    from units
),

parts as (
    select
        unit_id,
        case
            when unit_rank * 10 <= num_units * 8 then 'train'
            when unit_rank * 10 <= num_units * 9 then 'val'
            else 'test'
        end as part
    from ranked_units
)

select
    candidates.note_id,
    candidates.encounter_id,
    candidates.subject_id,
    candidates.prediction_time,
    case
        when candidates.study_window = 'development' then parts.part
        else candidates.study_window
    end as split,
    cast(candidates.label as integer) as label,
    cast(
        date_part('year', age(candidates.prediction_time, cast(patients.birth_date as timestamp))) as integer
    ) as age,
    patients.sex,
    patients.race,
    patients.ethnicity,
    patients.borough
from candidates
inner join patients on candidates.subject_id = patients.subject_id
left join parts on candidates.{{ unit }} = parts.unit_id
order by candidates.note_id
{%- endmacro -%}
