with notes as (
    select * from {{ ref("admission_notes") }}
),

measured as (
    select
        *,
        {{ study_window("inpatient", "discharge_time") }} as study_window,
        {{ length_of_stay_days("admit_time", "discharge_time") }} as num_days
    from notes
),

labelled as (
    select
        *,
        study_window is not null as is_in_study_window,
        case
            when num_days <= 2 then 0
            when num_days <= 3 then 1
            when num_days <= 5 then 2
            when num_days > 5 then 3
        end as label
    from measured
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
    {{ left_at_step("length_of_stay") }} as left_at_step
from labelled
