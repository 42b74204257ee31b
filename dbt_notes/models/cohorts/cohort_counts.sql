{{ config(materialized="parquet") }}

with labelled as (
    {%- for task in tasks() %}
    select
        '{{ task }}' as task,
        split,
        label,
        subject_id
    from {{ ref("cohort_" ~ task) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select
    task,
    split,
    label,
    count(*) as num_notes,
    count(distinct subject_id) as num_patients
from labelled
group by task, split, label
order by task, split, label
