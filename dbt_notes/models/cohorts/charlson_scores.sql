{{ config(materialized="parquet") }}

-- The conditions of an encounter are the bits of one number, so that codes are read and grouped once; scores are then
-- looked up for the few thousand combinations that occur.
with diagnoses as (
    select * from {{ ref("stg_diagnoses") }}
),

charlson_codes as (
    select * from {{ ref("charlson_codes") }}
),

conditions as (
    select
        condition,
        weight,
        -- A severe and a mild form are one disease; the severe one, which always has the greater weight, counts alone.
        coalesce(superseded_by, condition) as disease,
        cast(power(2, row_number() over (order by condition) - 1) as bigint) as condition_bit
    from charlson_codes
    group by condition, weight, superseded_by
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

-- Few codes with few beginnings each: equal ones are found by hash. Without `distinct`, PostgreSQL compares each code
-- with each beginning instead.
code_prefixes as (
    select distinct
        codes.icd_version,
        codes.icd_code,
        left(codes.icd_code, prefix_lengths.num_characters) as code_prefix
    from codes
    cross join prefix_lengths
),

-- A code may stand for two conditions (404.03: heart and kidney).
code_masks as (
    select
        code_prefixes.icd_version,
        code_prefixes.icd_code,
        bit_or(conditions.condition_bit) as condition_mask
    from code_prefixes
    inner join charlson_codes
        on
            code_prefixes.icd_version = charlson_codes.icd_version
            and code_prefixes.code_prefix = charlson_codes.code_prefix
    inner join conditions on charlson_codes.condition = conditions.condition
    group by
        code_prefixes.icd_version,
        code_prefixes.icd_code
),

encounter_masks as (
    select
        diagnoses.encounter_id,
        bit_or(coalesce(code_masks.condition_mask, 0)) as condition_mask
    from diagnoses
    left join code_masks
        on
            diagnoses.icd_version = code_masks.icd_version
            and diagnoses.icd_code = code_masks.icd_code
    group by diagnoses.encounter_id
),

masks as (
    select distinct condition_mask
    from encounter_masks
),

mask_diseases as (
    select
        masks.condition_mask,
        conditions.disease,
        max(conditions.weight) as weight
    from masks
    inner join conditions on (masks.condition_mask & conditions.condition_bit) > 0
    group by
        masks.condition_mask,
        conditions.disease
),

mask_scores as (
    select
        condition_mask,
        sum(weight) as score
    from mask_diseases
    group by condition_mask
)

select
    encounter_masks.encounter_id,
    cast(coalesce(mask_scores.score, 0) as integer) as charlson_score
from encounter_masks
left join mask_scores on encounter_masks.condition_mask = mask_scores.condition_mask
order by encounter_masks.encounter_id
