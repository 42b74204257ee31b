{#-
  People who are forgotten on their request are on a list of ids (lang1_assets/ops/forgetting). Their rows are landed without
  anything in them, so that no table here holds what they say, and become rejects with the reason `forgotten`.

  What names a stay, as claims do, belongs to whom the stay does, whether or not it names a person too: the tables of stays keep their
  key, and nothing else.
-#}
{%- macro numbered_without_forgotten(relation, table_name, columns) -%}
, numbered as (
    select
        *,
        -- Before the list is asked: a join may change the order of rows.
        row_number() over () as landed_row
    from {{ relation }}
),

judged as (
    select
        *,
        {{ is_forgotten(table_name, columns) }} as is_forgotten
    from numbered
)

select
    {%- for column in columns %}
    {%- if table_name == stays()["table_name"] and column == stays()["key"] %}
    {{ column }},
    {%- else %}
    case when not is_forgotten then {{ column }} end as {{ column }},
    {%- endif %}
    {%- endfor %}
    cast(null as {{ text_type() }}) as malformed_at,
    landed_row,
    landed_export,
    case when not is_forgotten then {{ digest_of_text() }}(concat_ws(
        chr(31)
        {%- for column in columns if column != "source_line" %}, coalesce({{ column }}, chr(30)){% endfor -%}
    )) end as row_hash,
    is_forgotten
from judged
{%- endmacro -%}


{#- The source table of stays, and its key, of the kind that is read. -#}
{%- macro stays() -%}
{%- set keys = {
    "tables": "encounter_id",
    "mimic_iii": "hadm_id",
    "mimic_iv": "hadm_id",
    "omop": "visit_occurrence_id",
    "fhir": "encounter_id",
} -%}
{{ return({"table_name": source_parts()["encounters"][0], "key": keys[var("source_kind")]}) }}
{%- endmacro -%}


{%- macro is_forgotten(table_name, columns) -%}
{%- set people = columns | select("in", ["subject_id", "person_id"]) | list -%}
{%- set visits = columns | select("in", [stays()["key"]] + (["claim_id"] if table_name == "remittances" else [])) | list -%}
{%- if people -%}
coalesce({{ people[0] }} in ({{ forgotten_subjects() }}), false)
{%- else -%}
false
{%- endif -%}
{%- if visits and table_name != stays()["table_name"] %}
        or coalesce({{ visits[0] }} in (
            select stays.{{ stays()["key"] }}
            from {{ ref(raw_model(stays()["table_name"])) }} as stays
            where stays.is_forgotten
        ), false)
{%- endif -%}
{%- endmacro -%}


{#- The list: a Parquet file, or a table of the work schema on a server. Nobody where a build is told of none. -#}
{%- macro forgotten_subjects() -%}
{%- set file = var("forgotten_file") -%}
{%- if target.type == "postgres" -%}
select forgotten.subject_id from {{ target.schema }}.forgotten_subjects as forgotten
{%- elif file -%}
select forgotten.subject_id from read_parquet({{ sql_text(file) }}) as forgotten
{%- else -%}
select cast(null as varchar) where false
{%- endif -%}
{%- endmacro -%}


{#- What is wrong with a row by itself: that it is a forgotten person's, else what its source says. -#}
{%- macro landed_reason(source_reason, prefix="") -%}
case when {{ prefix }}is_forgotten then 'forgotten' else {{ source_reason }} end
{%- endmacro -%}
