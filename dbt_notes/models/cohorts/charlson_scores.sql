with diagnoses as (
    select * from {{ ref("stg_diagnoses") }}
),

charlson_codes as (
    select * from {{ ref("charlson_codes") }}
),

codes as (
    select distinct
        icd_version,
        icd_code
    from diagnoses
),

prefix_lengths as (
    select distinct length(code_prefix) as num_characters
    from charlson_codes
),

-- Few codes with few beginnings each: equal ones are found by hash, in either database.
code_prefixes as (
    select
        codes.icd_version,
        codes.icd_code,
        left(codes.icd_code, prefix_lengths.num_characters) as code_prefix
    from codes
    cross join prefix_lengths
),

-- A severe and a mild form are one disease with the weight of the severe one, which is always the greater. A code may
-- stand for two diseases (404.03: heart and kidney).
code_diseases as (
    select
        code_prefixes.icd_version,
        code_prefixes.icd_code,
        coalesce(charlson_codes.superseded_by, charlson_codes.condition) as disease,
        max(charlson_codes.weight) as weight
    from code_prefixes
    inner join charlson_codes
        on
            code_prefixes.icd_version = charlson_codes.icd_version
            and code_prefixes.code_prefix = charlson_codes.code_prefix
    group by
        code_prefixes.icd_version,
        code_prefixes.icd_code,
        coalesce(charlson_codes.superseded_by, charlson_codes.condition)
),

encounter_diseases as (
    select
        diagnoses.encounter_id,
        code_diseases.disease,
        max(code_diseases.weight) as weight
    from diagnoses
    inner join code_diseases
        on
            diagnoses.icd_version = code_diseases.icd_version
            and diagnoses.icd_code = code_diseases.icd_code
    group by
        diagnoses.encounter_id,
        code_diseases.disease
),

scores as (
    select
        encounter_id,
        sum(weight) as score
    from encounter_diseases
    group by encounter_id
),

encounters as (
    select distinct encounter_id
    from diagnoses
)

select
    encounters.encounter_id,
    cast(coalesce(scores.score, 0) as integer) as charlson_score
from encounters
left join scores on encounters.encounter_id = scores.encounter_id
