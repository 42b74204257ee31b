with notes as (
    select * from {{ ref("admission_notes") }}
),

labelled as (
    select
        *,
        {{ study_window("inpatient", "discharge_time") }} as study_window,
        case
            when lower(trim(coalesce(discharge_disposition, ''))) in {{ lower_list(var("death_dispositions")) }} then 1
            else 0
        end as label
    from notes
),

in_window as (
    select
        *,
        study_window is not null as is_in_study_window
    from labelled
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
    {{ left_at_step("mortality") }} as left_at_step
from in_window
