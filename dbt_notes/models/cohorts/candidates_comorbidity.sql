with notes as (
    select * from {{ ref("admission_notes") }}
),

scores as (
    select * from {{ ref("charlson_scores") }}
),

scored as (
    select
        notes.*,
        {{ study_window("inpatient", "notes.discharge_time") }} as study_window,
        scores.charlson_score
    from notes
    left join scores on notes.encounter_id = scores.encounter_id
),

labelled as (
    select
        *,
        study_window is not null as is_in_study_window,
        charlson_score is not null as has_label,
        case
            when charlson_score = 0 then 0
            when charlson_score <= 2 then 1
            when charlson_score <= 4 then 2
            when charlson_score <= 7 then 3
            when charlson_score > 7 then 4
        end as label
    from scored
)

select
    note_id,
    encounter_id,
    subject_id,
    written_time as prediction_time,
    discharge_time as outcome_time,
    cast(null as timestamp) as follow_up_end,
    study_window,
    label,
    {{ left_at_step("comorbidity") }} as left_at_step
from labelled
