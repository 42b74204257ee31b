with notes as (
    select * from {{ ref("stg_notes") }}
    where note_type = 'discharge'
),

encounters as (
    select * from {{ ref("stg_encounters") }}
),

end_of_data as (
    select max(admit_time) as last_admit_time
    from encounters
),

readmitted as (
    select distinct index_stays.encounter_id
    from encounters as index_stays
    inner join encounters as later_stays
        on
            index_stays.subject_id = later_stays.subject_id
            and index_stays.encounter_id <> later_stays.encounter_id
            and index_stays.discharge_time < later_stays.admit_time
            and later_stays.admit_time <= index_stays.discharge_time + interval '{{ var("readmission_days") }} days'
),

joined as (
    select
        notes.note_id,
        notes.encounter_id,
        notes.subject_id,
        notes.written_time,
        encounters.discharge_time as prediction_time,
        case when readmitted.encounter_id is null then 0 else 1 end as label,
        {{ study_window("inpatient", "encounters.discharge_time") }} as study_window,
        encounters.discharge_time is not null as encounter_has_ended,
        lower(trim(coalesce(notes.department, encounters.department, '')))
        not in {{ lower_list(var("readmission_excluded_departments")) }} as is_acute_department,
        {% if var("readmission_excludes_deaths") -%}
        lower(trim(coalesce(encounters.discharge_disposition, '')))
        not in {{ lower_list(var("death_dispositions")) }} as is_discharged_alive,
        {%- else -%}
        true as is_discharged_alive,
        {%- endif %}
        coalesce(
            notes.written_time
            <= encounters.discharge_time + interval '{{ var("discharge_note_max_hours_after_discharge") }} hours',
            false
        ) as is_written_in_time,
        encounters.discharge_time + interval '{{ var("readmission_days") }} days'
        <= end_of_data.last_admit_time as has_complete_follow_up
    from notes
    inner join encounters on notes.encounter_id = encounters.encounter_id
    left join readmitted on notes.encounter_id = readmitted.encounter_id
    cross join end_of_data
),

chosen as (
    select
        *,
        study_window is not null as is_in_study_window,
        {{ is_chosen_note("(is_written_in_time and is_acute_department)", var("discharge_note_when_several")) }}
            as is_chosen_note
    from joined
)

select
    note_id,
    encounter_id,
    subject_id,
    prediction_time,
    study_window,
    label,
    {{ left_at_step("readmission") }} as left_at_step
from chosen
