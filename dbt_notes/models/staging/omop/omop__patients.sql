with person as (
    select * from {{ ref("omop__raw_person") }}
),

death as (
    select * from {{ ref("omop__death") }}
    where reject_reason is null
),

concept as (
    select * from {{ ref("omop__concept") }}
    -- Concept 0 is called "No matching concept".
    where reject_reason is null and concept_id != '0'
),

location as (
    select * from {{ ref("omop__location") }}
    where reject_reason is null
),

observed as (
    select
        person_id,
        max(substr(observation_period_end_date, 1, 10)) as last_date
    from {{ ref("omop__observation_period") }}
    where reject_reason is null
    group by person_id
)

select
    person.person_id as subject_id,
    coalesce(
        person.birth_datetime,
        person.year_of_birth
        || '-' || {{ two_digits("person.month_of_birth") }}
        || '-' || {{ two_digits("person.day_of_birth") }}
    ) as birth_date,
    case person.gender_concept_id
        when '8507' then 'M'
        when '8532' then 'F'
        else person.gender_source_value
    end as sex,
    {{ said_in_words("person.race_source_value", "race.concept_name") }} as race,
    {{ said_in_words("person.ethnicity_source_value", "ethnicity.concept_name") }} as ethnicity,
    coalesce(location.county, location.city) as borough,
    coalesce(death.death_datetime, death.death_date) as death_date,
    observed.last_date || ' 23:59:59' as follow_up_end,
    {{ carried("person", "person.person_id", alias="person") }}
from person
left join death on person.person_id = death.person_id
left join concept as race on person.race_concept_id = race.concept_id
left join concept as ethnicity on person.ethnicity_concept_id = ethnicity.concept_id
left join location on person.location_id = location.location_id
left join observed on person.person_id = observed.person_id
