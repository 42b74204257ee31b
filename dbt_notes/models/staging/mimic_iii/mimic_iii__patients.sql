with patients as (
    select * from {{ ref("mimic_iii__raw_patients") }}
),

admissions as (
    select
        subject_id,
        ethnicity,
        {{ timestamp_of("admittime") }} as admit_time,
        row_number() over (partition by subject_id order by admittime, landed_row) as admission_rank
    from {{ ref("mimic_iii__raw_admissions") }}
    where malformed_at is null
),

joined as (
    select
        patients.*,
        admissions.ethnicity,
        admissions.admit_time,
        {{ timestamp_of("patients.dob") }} as birth_time
    from patients
    left join admissions
        on
            patients.subject_id = admissions.subject_id
            and admissions.admission_rank = 1
)

select
    subject_id,
    case
        -- People over 89 were given a birth 300 years before their first admission; their median age was 91.4.
        when birth_time < admit_time - interval '150 years'
            then cast(cast(admit_time - interval '91 years' as date) as {{ text_type() }})
        else dob
    end as birth_date,
    gender as sex,
    ethnicity as race,
    cast(null as {{ text_type() }}) as ethnicity,
    cast(null as {{ text_type() }}) as borough,
    dod as death_date,
    -- Each patient's dates are shifted by an amount of their own: the end of the records says nothing about anyone.
    cast(null as {{ text_type() }}) as follow_up_end,
    {{ carried("patients", "subject_id") }}
from joined
