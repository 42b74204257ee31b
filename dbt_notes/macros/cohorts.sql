{#- Calendar days between two times: 0 for admission and discharge on one date. -#}
{%- macro calendar_days(admit_time, discharge_time) -%}
(cast({{ discharge_time }} as date) - cast({{ admit_time }} as date))
{%- endmacro -%}


{#- The length of a stay on which its class is decided, in the unit of `length_of_stay_unit`. -#}
{%- macro length_of_stay_days(admit_time, discharge_time) -%}
{%- if var("length_of_stay_unit") == "calendar_days" -%}
{{ calendar_days(admit_time, discharge_time) }}
{%- elif var("length_of_stay_unit") == "elapsed_days" -%}
(extract(epoch from ({{ discharge_time }} - {{ admit_time }})) / 86400.0)
{%- else -%}
{{ wrong_choice("length_of_stay_unit", ["calendar_days", "elapsed_days"]) }}
{%- endif -%}
{%- endmacro -%}


{%- macro wrong_choice(name, choices) -%}
{{ exceptions.raise_compiler_error(name ~ ": expected one of " ~ choices | join(", ") ~ ", found '" ~ var(name) ~ "'") }}
{%- endmacro -%}


{#- A list of texts as SQL literals, lower case. -#}
{%- macro lower_list(texts) -%}
({%- for text in texts -%}{{ sql_text(text | lower) }}{{ ", " if not loop.last }}{%- else -%}null{%- endfor -%})
{%- endmacro -%}


{#- The window of `split_windows[windows]` that a discharge time lies in; null when in none. -#}
{%- macro study_window(windows, discharge_time) -%}
{%- if var("evaluate_only") -%}
case when {{ discharge_time }} is not null then 'landed' end
{%- elif var("splits") == "shares" -%}
case when {{ discharge_time }} is not null then 'development' end
{%- elif var("splits") != "calendar" -%}
{{ wrong_choice("splits", ["calendar", "shares"]) }}
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


{#- True for the note that an encounter contributes; except with 'preferred', among those for which `eligible` holds. -#}
{%- macro is_chosen_note(eligible, choice) -%}
{%- set which = var(choice) -%}
{%- if which == "all" -%}
{{ eligible }}
{%- elif which in ("first", "last") -%}
(
        {{ eligible }}
        and row_number() over (
            partition by encounter_id, {{ eligible }}
            order by written_time {{ "desc" if which == "last" }}, {{ binary_order("note_id") }}
        ) = 1
    )
{%- elif which == "preferred" -%}
row_number() over (
        partition by encounter_id
        order by preference asc nulls last, num_characters desc, written_time, {{ binary_order("note_id") }}
    ) = 1
{%- else -%}
{{ wrong_choice(choice, ["first", "last", "all", "preferred"]) }}
{%- endif -%}
{%- endmacro -%}


{#- A stay of a class that counts, as index stay and as readmission alike. -#}
{%- macro is_stay(encounter_class) -%}
{{ encounter_class }} in {{ lower_list(var("stay_classes")) }}
{%- endmacro -%}


{#-
  The steps from notes of the right type to a cohort, in order: a boolean column of `candidates_TASK` and what it asks.
  Both the cohorts and their attrition are made from this list.
-#}
{%- macro cohort_steps(task) -%}
{%- set stay = [
    ["is_stay", "written in a hospital stay (" ~ var("stay_classes") | join(", ") ~ ")"],
    ["encounter_has_ended", "the stay has a discharge time"],
    ["is_in_study_window", "discharged within the study windows"],
] -%}
{%- set hours = var("hp_max_hours_after_admission") -%}
{%- set in_time = [
    ["is_written_in_time", "written at most " ~ hours ~ " hours after admission"],
    ["is_written_before_discharge", "written before discharge"],
] -%}
{%- set chosen = [["is_chosen_note", "the one note chosen for its stay (" ~ var("hp_when_several") ~ ")"]] -%}
{#- The paper's heuristic chooses first and judges the time of the chosen note (5.2.3). -#}
{%- set hp = stay + (chosen + in_time if var("hp_when_several") == "preferred" else in_time + chosen) -%}
{#- A step that the settings switch off is not shown. -#}
{%- set excluded = var("readmission_excluded_departments") -%}
{%- set departments = [["is_acute_department", "not from " ~ excluded | join(", ")]] if excluded else [] -%}
{%- set alive = [["is_discharged_alive", "discharged alive"]] if var("readmission_excludes_deaths") else [] -%}
{%- set days = var("readmission_days") -%}
{%- set followed = [] -%}
{%- if var("readmission_censored") == "drop" -%}
    {%- do followed.append(["has_complete_follow_up", "followed up for all " ~ days ~ " days"]) -%}
{%- endif -%}
{%- if var("readmission_deaths_in_window") == "drop" -%}
    {%- do followed.append(["is_alive_or_readmitted", "alive or readmitted " ~ days ~ " days after discharge"]) -%}
{%- endif -%}
{{ return({
    "readmission": stay + departments + alive + [
        [
            "is_written_in_time",
            "written at most " ~ var("discharge_note_max_hours_after_discharge") ~ " hours after discharge",
        ],
        ["is_chosen_note", "the one note chosen for its stay (" ~ var("discharge_note_when_several") ~ ")"],
    ] + followed,
    "mortality": hp,
    "length_of_stay": hp,
    "comorbidity": hp + [["has_label", "the stay has ICD codes"]],
    "insurance_denial": hp + [["has_label", "the stay has a claim whose status decides the label"]],
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
    {%- do wrong_choice("split_by", ["note", "patient"]) -%}
{%- endif -%}
{%- set train, val, test = var("split_shares")[task] -%}
{%- if train + val + test != 100 -%}
    {%- do exceptions.raise_compiler_error("split_shares." ~ task ~ ": expected three shares that add up to 100") -%}
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
            when unit_rank * 100 <= num_units * {{ train }} then 'train'
            when unit_rank * 100 <= num_units * {{ train + val }} then 'val'
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
