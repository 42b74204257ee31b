{#-
  Every row of a source table as text, in the columns of `source_tables`, null where the files lack an optional one, with

  - `landed_row`: its position, by which equal keys are ranked and text is found again;
  - `landed_export`: 1 where its export is the latest of those that are joined, or the only one, 2 for the one before, and so on;
  - `row_hash`: equal for rows that are equal in every column, null for those of forgotten people;
  - `malformed_at`: "file:line" of a line that is not CSV of the expected columns, all else null (`keep_malformed_lines`);
  - `is_forgotten`: of a person who is forgotten (macros/forgotten.sql): all else null, but the key of a stay.

  `source_layout` has the table's parts: files with one header, or one relation of a server.
-#}
{%- macro landed_table(table_name, kind=none) -%}
{#- Models of kinds that are not read are rendered too, by the parser, and then left out. -#}
{%- set spec = var("source_tables")[kind or var("source_kind")].get(table_name, {}) -%}
{%- set columns = spec.get("required", []) + spec.get("optional", []) -%}
{%- set parts = var("source_layout").get(table_name, []) -%}
-- depends_on: {{ source("hospital", "hospital_exports") }}
with landed as (
    {%- for part in parts %}
    select
        {%- for column in columns %}
        {{ landed_column(column, part["columns"]) }} as {{ column }},
        {%- endfor %}
        {{ part.get("export", 1) }} as landed_export
    from {{ landed_part(table_name, part, loop.index, columns) }}
    {{ "union all" if not loop.last }}
    {%- else %}
    select
        {%- for column in columns %}
        cast(null as {{ text_type() }}) as {{ column }},
        {%- endfor %}
        1 as landed_export
    where false
    {%- endfor %}
)

{{ numbered_without_forgotten("landed", table_name, columns) }}
{%- endmacro -%}


{#- A column by its name in the files, whatever its case; null when they lack it. What is blank is null: no key is blank. -#}
{%- macro landed_column(column, found) -%}
{%- for name in found if name | lower == column -%}
case
            when trim(cast({{ adapter.quote(name) }} as {{ text_type() }})) <> ''
                then cast({{ adapter.quote(name) }} as {{ text_type() }})
        end
{%- else -%}
cast(null as {{ text_type() }})
{%- endfor -%}
{%- endmacro -%}


{%- macro text_type() -%}
{{ "text" if target.type == "postgres" else "varchar" }}
{%- endmacro -%}


{#-
  CSV dialect and columns are given, not sniffed: the sniffer gives up on files with dirty lines. Columns are counted, not
  looked up by name, so those that nothing reads get names of ours: theirs may be empty.
-#}
{%- macro landed_part(table_name, part, number, columns) -%}
{%- if part["format"] == "relation" -%}
{{ part["relation"] }}
{%- elif part["format"] == "parquet" -%}
read_parquet({{ file_list(part["files"]) }})
{%- else -%}
read_csv(
        {{ file_list(part["files"]) }},
        auto_detect = false,
        strict_mode = {{ var("csv_strict_mode") | lower }},
        header = true,
        delim = ',',
        quote = '"',
        escape = '"',
        encoding = '{{ var("csv_encoding") }}',
        max_line_size = {{ var("csv_maximum_line_bytes") }},
        columns = {
            {%- for name in part["columns"] %}{{ sql_text(name if name | lower in columns else "unread_" ~ loop.index) }}: 'VARCHAR'{{ ", " if not loop.last }}{% endfor -%}
        },
        store_rejects = true,
        rejects_limit = 0,
        rejects_table = '{{ table_name }}_errors_{{ number }}',
        rejects_scan = '{{ table_name }}_scans_{{ number }}'
    )
{%- endif -%}
{%- endmacro -%}


{%- macro sql_text(text) -%}
'{{ text | replace("'", "''") }}'
{%- endmacro -%}


{%- macro file_list(files) -%}
[{% for file in files %}{{ sql_text(file) }}{{ ", " if not loop.last }}{% endfor %}]
{%- endmacro -%}


{#-
  A post-hook of the raw models: the lines that the reader set aside become rows of the table, so that they are counted.
  The reader keeps them in temporary tables of this connection; the line itself may hold note text and is not copied.
-#}
{%- macro keep_malformed_lines(table_name) -%}
{%- set parts = var("source_layout").get(table_name, []) -%}
{%- for part in parts if part["format"] == "csv" -%}
{{ "insert into " ~ this ~ " by name" if loop.first }}
{{ "union all" if not loop.first }}
select
    parse_filename(scans.file_path) || ':' || errors.line as malformed_at
from {{ table_name }}_errors_{{ parts.index(part) + 1 }} as errors
inner join {{ table_name }}_scans_{{ parts.index(part) + 1 }} as scans
    on
        errors.scan_id = scans.scan_id
        and errors.file_id = scans.file_id
-- A line has an error for each of its columns; files of several exports share their names.
group by scans.file_path, errors.line
{%- endfor -%}
{%- endmacro -%}
