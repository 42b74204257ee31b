with conditions as (
    select * from {{ ref("omop__raw_condition_occurrence") }}
),

concept as (
    select * from {{ ref("omop__concept") }}
    where reject_reason is null
),

coded as (
    select
        conditions.*,
        concept.concept_code,
        case
            when concept.vocabulary_id in ('ICD10CM', 'ICD10') then '10'
            when concept.vocabulary_id = 'ICD9CM' then '9'
        end as icd_version
    from conditions
    left join concept on conditions.condition_source_concept_id = concept.concept_id
)

select
    visit_occurrence_id as encounter_id,
    person_id as subject_id,
    cast(
        row_number() over (partition by visit_occurrence_id order by condition_occurrence_id, landed_row)
        as {{ text_type() }}
    ) as sequence_number,
    icd_version,
    case when icd_version is not null then concept_code end as icd_code,
    {{ carried(
        "condition_occurrence",
        "condition_occurrence_id",
        "case when icd_version is null and malformed_at is null then 'no_icd_code' end",
    ) }}
from coded
