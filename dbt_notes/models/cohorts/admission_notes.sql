with notes as (
    select * from {{ ref("stg_notes") }}
    where note_type = 'hp'
),

encounters as (
    select * from {{ ref("stg_encounters") }}
),

joined as (
    select
        notes.note_id,
        notes.encounter_id,
        notes.subject_id,
        notes.written_time,
        notes.preference,
        notes.num_characters,
        encounters.admit_time,
        encounters.discharge_time,
        encounters.discharge_disposition,
        {{ is_stay("encounters.encounter_class") }} as is_stay,
        encounters.discharge_time is not null as encounter_has_ended,
        notes.written_time >= encounters.admit_time - interval '{{ var("hp_max_hours_before_admission") }} hours'
        and notes.written_time <= encounters.admit_time + interval '{{ var("hp_max_hours_after_admission") }} hours'
            as is_written_in_time,
        coalesce(notes.written_time < encounters.discharge_time, false) as is_written_before_discharge
    from notes
    inner join encounters on notes.encounter_id = encounters.encounter_id
)

select
    note_id,
    encounter_id,
    subject_id,
    written_time,
    admit_time,
    discharge_time,
    discharge_disposition,
    is_stay,
    encounter_has_ended,
    is_written_in_time,
    is_written_before_discharge,
    {{ is_chosen_note("(is_written_in_time and is_written_before_discharge)", "hp_when_several") }} as is_chosen_note
from joined
