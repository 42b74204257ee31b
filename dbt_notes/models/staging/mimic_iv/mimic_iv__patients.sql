with patients as (
    select
        *,
        -- As bigint: the difference of two integers may be none.
        cast({{ integer_of("anchor_year") }} as bigint) - {{ integer_of("anchor_age") }} as birth_year
    from {{ ref("mimic_iv__raw_patients") }}
),

admissions as (
    select
        subject_id,
        race,
        row_number() over (partition by subject_id order by admittime, landed_row) as admission_rank
    from {{ ref("mimic_iv__raw_admissions") }}
    where malformed_at is null
)

select
    patients.subject_id,
    -- Only the age in one year is known (91 for all over 89). What is no number is passed on, to be rejected as no date.
    case
        when birth_year between 0 and 9999 then lpad(cast(birth_year as {{ text_type() }}), 4, '0') || '-01-01'
        else coalesce(anchor_year, '') || ' - ' || coalesce(anchor_age, '')
    end as birth_date,
    gender as sex,
    admissions.race,
    cast(null as {{ text_type() }}) as ethnicity,
    cast(null as {{ text_type() }}) as borough,
    dod as death_date,
    -- Each patient's dates are shifted by an amount of their own: the end of the records says nothing about anyone.
    cast(null as {{ text_type() }}) as follow_up_end,
    {{ carried("patients", "patients.subject_id", alias="patients") }}
from patients
left join admissions
    on
        patients.subject_id = admissions.subject_id
        and admissions.admission_rank = 1
