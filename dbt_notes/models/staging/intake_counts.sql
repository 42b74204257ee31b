{{ config(materialized="parquet") }}

with landed as (
    {%- for contract_table in contract_tables() %}
    {%- for table_name in source_parts().get(contract_table, []) %}
    select
        '{{ table_name }}' as table_name,
        '{{ contract_table }}' as contract_table,
        count(*) as num_rows
    from {{ ref(raw_model(table_name)) }}
    union all
    {%- endfor %}
    {%- endfor %}
    {%- for table_name in source_parts().get("lookups", {}) %}
    select
        '{{ table_name }}' as table_name,
        'lookup' as contract_table,
        count(*) as num_rows
    from {{ ref(raw_model(table_name)) }}
    union all
    {%- endfor %}
    select
        null as table_name,
        null as contract_table,
        0 as num_rows
    where false
),

judged as (
    {%- for contract_table in contract_tables() %}
    select
        source_table as table_name,
        reject_reason is null as is_kept
    from {{ ref("checked_" ~ contract_table) }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
    {%- for table_name in source_parts().get("lookups", {}) %}
    union all
    select
        '{{ table_name }}' as table_name,
        reject_reason is null as is_kept
    from {{ ref(var("source_kind") ~ "__" ~ table_name) }}
    {%- endfor %}
),

kept as (
    select
        table_name,
        sum(case when is_kept then 1 else 0 end) as num_rows
    from judged
    group by table_name
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
    landed.contract_table,
    cast(landed.num_rows as bigint) as rows_in,
    cast(coalesce(kept.num_rows, 0) as bigint) as rows_out,
    cast(coalesce(rejected.num_rows, 0) as bigint) as rows_rejected
from landed
left join kept on landed.table_name = kept.table_name
left join rejected on landed.table_name = rejected.table_name
order by landed.table_name
