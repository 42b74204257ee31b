with resources as (
    select * from {{ ref("fhir__raw_fhir_patients") }}
)

select
    subject_id,
    birth_date,
    sex,
    race,
    ethnicity,
    city as borough,
    -- `deceased` is a time, or only true or false.
    case when lower(deceased) not in ('true', 'false') then deceased end as death_date,
    cast(null as {{ text_type() }}) as follow_up_end,
    {{ carried_with_line("fhir_patients") }}
from resources
