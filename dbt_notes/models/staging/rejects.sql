{{ config(materialized="parquet") }}

{%- set names_its_line = "reason = 'malformed_line' or source = 'remittances'" %}
{%- if var("source_kind") == "fhir" -%}
    {%- set names_its_line = "true" -%}
{%- endif %}

with left_out as (
    {%- for table_name in contract_tables() %}
    select
        source_table as source,
        row_id,
        reject_reason as reason
    from {{ ref("checked_" ~ table_name) }}
    where reject_reason is not null
    {{ "union all" if not loop.last }}
    {%- endfor %}
    {%- for table_name in source_parts().get("lookups", {}) %}
    union all
    select
        '{{ table_name }}' as source,
        row_name as row_id,
        reject_reason as reason
    from {{ ref(var("source_kind") ~ "__" ~ table_name) }}
    where reject_reason is not null
    {%- endfor %}
)

select
    source,
    coalesce(case when {{ names_its_line }} then row_id else {{ shown_key("row_id") }} end, '(no key)') as row_id,
    reason
from left_out
order by source, row_id, reason
