with visits as (
    select
        *,
        -- CDM 5.4's name, or 5.3's.
        coalesce(discharged_to_concept_id, discharge_to_concept_id) as discharge_concept_id,
        coalesce(discharged_to_source_value, discharge_to_source_value) as discharge_value,
        coalesce(admitted_from_source_value, admitting_source_value) as admitted_from
    from {{ ref("omop__raw_visit_occurrence") }}
),

care_site as (
    select * from {{ ref("omop__care_site") }}
    where reject_reason is null
)

select
    visits.visit_occurrence_id as encounter_id,
    visits.person_id as subject_id,
    case
        -- Inpatient, emergency room and inpatient, inpatient hospital, psychiatric, intensive care.
        when visits.visit_concept_id in ('9201', '262', '8717', '8971', '32037') then 'inpatient'
        when visits.visit_concept_id in ('9203', '8870') then 'emergency'
        when visits.visit_concept_id = '581385' then 'observation'
        when visits.visit_concept_id in ('9202', '8756', '581477', '5083', '38004207') then 'outpatient'
        else 'other'
    end as encounter_class,
    coalesce(visits.visit_start_datetime, visits.visit_start_date) as admit_time,
    -- Where only the date is known, the end of that day: a note of the last day was still written before it.
    coalesce(visits.visit_end_datetime, substr(visits.visit_end_date, 1, 10) || ' 23:59:59') as discharge_time,
    care_site.care_site_name as department,
    visits.admitted_from as admission_type,
    case
        when
            visits.discharge_concept_id = '4216643'
            or {{ matches("visits.discharge_value", "expired|died|deceased") }}
            then 'Expired'
        else coalesce(visits.discharge_value, nullif(visits.discharge_concept_id, '0'))
    end as discharge_disposition,
    {{ carried("visit_occurrence", "visits.visit_occurrence_id", alias="visits") }}
from visits
left join care_site on visits.care_site_id = care_site.care_site_id
