{{ config(materialized="parquet") }}

with supplied as (
    select
        (select count(*) filter (where note_type = 'discharge') from {{ ref("stg_notes") }}) as num_discharge_notes,
        (select count(*) filter (where note_type = 'hp') from {{ ref("stg_notes") }}) as num_hp_notes,
        (select count(*) from {{ ref("stg_diagnoses") }}) as num_diagnoses,
        (select count(*) from {{ ref("stg_claims") }}) as num_claims
),

missing as (
    {%- for task, inputs in {
        "readmission": {"num_discharge_notes": "discharge notes"},
        "mortality": {"num_hp_notes": "H&P notes"},
        "length_of_stay": {"num_hp_notes": "H&P notes"},
        "comorbidity": {"num_hp_notes": "H&P notes", "num_diagnoses": "ICD codes"},
        "insurance_denial": {"num_hp_notes": "H&P notes", "num_claims": "claims"},
    }.items() %}
    select
        '{{ task }}' as task,
        concat_ws(
            ' and '
            {%- for column, words in inputs.items() %},
            case when {{ column }} = 0 then 'no {{ words }}' end
            {%- endfor %}
        ) as words
    from supplied
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select
    task,
    words = '' as is_supplied,
    case when words <> '' then 'the source has ' || words || ' that passed staging' end as reason
from missing
order by task
