with resources as (
    select * from {{ ref("fhir__raw_fhir_encounters") }}
)

select
    encounter_id,
    subject_id,
    case
        when upper(class_code) in ('IMP', 'ACUTE', 'NONAC', 'SS') then 'inpatient'
        when upper(class_code) = 'EMER' then 'emergency'
        when upper(class_code) = 'OBSENC' then 'observation'
        when upper(class_code) in ('AMB', 'VR', 'HH', 'FLD', 'PRENC') then 'outpatient'
        else 'other'
    end as encounter_class,
    start_time as admit_time,
    end_time as discharge_time,
    department,
    admission_type,
    case
        -- 20 is "expired" on the claim form UB-04.
        when
            lower(disposition_code) in ('exp', '20')
            or {{ matches("disposition_text", "expired|deceased|\\bdied\\b") }}
            then 'Expired'
        else coalesce(disposition_text, disposition_code)
    end as discharge_disposition,
    {{ carried_with_line(
        "fhir_encounters",
        "coalesce(reject_reason, case when status in ('planned', 'cancelled', 'entered-in-error') then 'not_a_stay' end)",
    ) }}
from resources
