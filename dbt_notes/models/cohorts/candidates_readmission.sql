with notes as (
    select * from {{ ref("stg_notes") }}
    where note_type = 'discharge'
),

patients as (
    select * from {{ ref("stg_patients") }}
),

encounters as (
    select
        *,
        {{ is_stay("encounter_class") }} as is_stay
    from {{ ref("stg_encounters") }}
),

days as (
    select
        cast(admit_time as date) as admit_day,
        count(*) as num_stays,
        max(admit_time) as last_admit_time
    from encounters
    where is_stay
    group by cast(admit_time as date)
),

days_and_what_follows as (
    select
        *,
        lead(admit_day) over (order by admit_day) as next_day,
        sum(num_stays) over () as num_all,
        coalesce(sum(num_stays) over (order by admit_day desc rows between unbounded preceding and 1 preceding), 0)
            as num_later
    from days
),

-- The last admission; a stray date years ahead (at most one stay in a thousand, after 90 days without any) is not it.
end_of_data as (
    {% if var("splits") == "shares" -%}
    -- Every patient's dates are shifted by an amount of their own: the end of the records is nobody's.
    select cast(null as timestamp) as end_time
    {%- elif var("records_until") -%}
    -- Known of dated exports: after a last admission nobody may have come for days.
    select cast('{{ var("records_until") }}' as timestamp) as end_time
    {%- else -%}
    select min(last_admit_time) as end_time
    from days_and_what_follows
    where next_day is null or (next_day - admit_day > 90 and num_later * 1000 <= num_all)
    {%- endif %}
),

-- Admissions that count as a return, whatever follows them.
later_stays as (
    select
        encounter_id,
        subject_id,
        admit_time
    from encounters
    where
        is_stay
        and coalesce(
            lower(trim(admission_type)) not in {{ lower_list(var("readmission_ignored_admission_types") + [""]) }}, true
        )
),

readmitted as (
    select
        index_stays.encounter_id,
        min(later_stays.admit_time) as readmit_time
    from encounters as index_stays
    inner join later_stays
        on
            index_stays.subject_id = later_stays.subject_id
            and index_stays.encounter_id <> later_stays.encounter_id
            and later_stays.admit_time
            > index_stays.discharge_time + interval '{{ var("readmission_minimum_gap_hours") }} hours'
            and later_stays.admit_time <= index_stays.discharge_time + interval '{{ var("readmission_days") }} days'
    where index_stays.is_stay
    group by index_stays.encounter_id
),

joined as (
    select
        notes.note_id,
        notes.encounter_id,
        notes.subject_id,
        notes.written_time,
        notes.preference,
        notes.num_characters,
        encounters.is_stay,
        encounters.discharge_time as prediction_time,
        encounters.discharge_time + interval '{{ var("readmission_days") }} days' as window_end,
        readmitted.readmit_time,
        patients.death_date,
        coalesce(patients.follow_up_end, end_of_data.end_time) as follow_up_end,
        case when readmitted.readmit_time is null then 0 else 1 end as label,
        {{ study_window("inpatient", "encounters.discharge_time") }} as study_window,
        encounters.discharge_time is not null as encounter_has_ended,
        lower(trim(coalesce(notes.department, encounters.department, '')))
        not in {{ lower_list(var("readmission_excluded_departments") + ["?"]) }} as is_acute_department,
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
        ) as is_written_in_time
    from notes
    inner join encounters on notes.encounter_id = encounters.encounter_id
    inner join patients on notes.subject_id = patients.subject_id
    left join readmitted on notes.encounter_id = readmitted.encounter_id
    cross join end_of_data
),

judged as (
    select
        *,
        study_window is not null as is_in_study_window,
        {% if var("readmission_censored") == "drop" -%}
        {% if var("splits") == "shares" -%}
        coalesce(window_end <= follow_up_end, true) as has_complete_follow_up,
        {%- else -%}
        window_end <= follow_up_end as has_complete_follow_up,
        {%- endif %}
        {%- elif var("readmission_censored") == "keep" -%}
        true as has_complete_follow_up,
        {%- else -%}
        {{ wrong_choice("readmission_censored", ["drop", "keep"]) }}
        {%- endif %}
        {% if var("readmission_deaths_in_window") == "negative" -%}
        true as is_alive_or_readmitted,
        {%- elif var("readmission_deaths_in_window") == "drop" -%}
        label = 1 or death_date is null or death_date > cast(window_end as date) as is_alive_or_readmitted,
        {%- else -%}
        {{ wrong_choice("readmission_deaths_in_window", ["negative", "drop"]) }}
        {%- endif %}
        {{ is_chosen_note("(is_written_in_time and is_acute_department)", "discharge_note_when_several") }}
            as is_chosen_note
    from joined
)

select
    note_id,
    encounter_id,
    subject_id,
    prediction_time,
    coalesce(readmit_time, window_end) as outcome_time,
    follow_up_end,
    study_window,
    label,
    {{ left_at_step("readmission") }} as left_at_step
from judged
