{{ config(materialized="parquet") }}

with landed as (
    {%- for table_name in export_columns() %}
    select
        '{{ table_name }}' as table_name,
        count(*) as num_rows
    from {{ ref("raw_" ~ table_name) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

staged as (
    {%- for table_name in export_columns() %}
    select
        '{{ table_name }}' as table_name,
        count(*) as num_rows
    from {{ ref("stg_" ~ table_name) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

rejected as (
    select
        source as table_name,
        count(*) as num_rows
    from {{ ref("rejects") }}
    group by source
)

select
    landed.table_name,
    landed.num_rows as rows_in,
    staged.num_rows as rows_out,
    coalesce(rejected.num_rows, 0) as rows_rejected
from landed
inner join staged on landed.table_name = staged.table_name
left join rejected on landed.table_name = rejected.table_name
order by landed.table_name
