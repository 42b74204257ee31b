{{ config(materialized="parquet") }}

with left_out as (
    {%- for table_name in export_columns() %}
    select
        '{{ table_name }}' as source,
        row_id,
        reject_reason as reason
    from {{ ref("checked_" ~ table_name) }}
    where reject_reason is not null
    {{ "union all" if not loop.last }}
    {%- endfor %}
)

select
    source,
    coalesce(row_id, '(no key)') as row_id,
    reason
from left_out
order by source, row_id, reason
