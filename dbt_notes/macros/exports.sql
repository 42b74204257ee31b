{#- The columns of each export, in the order of its header. As in `schemas.EXPORT_COLUMNS`; a test compares. -#}
{%- macro export_columns() -%}
{{ return({
    "patients": ["subject_id", "birth_date", "sex", "race", "ethnicity", "borough"],
    "encounters": [
        "encounter_id", "subject_id", "admit_time", "discharge_time", "department", "admission_type",
        "discharge_disposition",
    ],
    "notes": [
        "note_id", "encounter_id", "subject_id", "note_type", "department", "author_id", "written_time", "narrative",
        "impression", "addendum",
    ],
    "diagnoses": ["encounter_id", "subject_id", "sequence_number", "icd_version", "icd_code"],
    "claims": ["claim_id", "encounter_id", "status", "status_time"],
}) }}
{%- endmacro -%}


{#- The files of a table as a glob. -#}
{%- macro export_glob(table_name) -%}
{{ return(var("exports_path") ~ "/" ~ ("notes*" if table_name == "notes" else table_name) ~ ".csv") }}
{%- endmacro -%}


{#-
  Every row of an export as text, with `row_hash` (equal for rows that are equal in every column), and, for lines that
  are not CSV of the expected columns, `malformed_at` ("file:line") with all else null (see `keep_malformed_lines`).

  Dialect and columns are given, not sniffed: the sniffer gives up on files with dirty lines.
-#}
{%- macro landed_rows(table_name) -%}
{%- set columns = export_columns()[table_name] -%}
select
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    cast(null as varchar) as malformed_at,
    md5(concat_ws(
        chr(31)
        {%- for column in columns %}, coalesce({{ column }}, chr(30)){% endfor -%}
    )) as row_hash
from read_csv(
    {{ source("hospital_exports", table_name) }},
    auto_detect = false,
    strict_mode = {{ var("csv_strict_mode") | lower }},
    header = true,
    delim = ',',
    quote = '"',
    escape = '"',
    encoding = '{{ var("csv_encoding") }}',
    max_line_size = {{ var("csv_maximum_line_bytes") }},
    columns = {
        {%- for column in columns %}'{{ column }}': 'VARCHAR'{{ ", " if not loop.last }}{% endfor -%}
    },
    store_rejects = true,
    rejects_limit = 0,
    rejects_table = '{{ table_name }}_errors',
    rejects_scan = '{{ table_name }}_scans'
)
{%- endmacro -%}


{#-
  A post-hook of the raw models: the lines that the reader set aside become rows of the table, so that they are counted.
  The reader keeps them in temporary tables of this connection; the line itself may hold note text and is not copied.
-#}
{%- macro keep_malformed_lines(table_name) -%}
insert into {{ this }} by name
select distinct
    parse_filename(scans.file_path) || ':' || errors.line as malformed_at
from {{ table_name }}_errors as errors
inner join {{ table_name }}_scans as scans
    on
        errors.scan_id = scans.scan_id
        and errors.file_id = scans.file_id
{%- endmacro -%}


{#- Stops the run when a file or a column is missing, naming all of them at once. -#}
{%- macro check_export_headers() -%}
{%- if execute and flags.WHICH in ("build", "run") -%}
    {%- set problems = [] -%}
    {%- for table_name, columns in export_columns().items() -%}
        {%- set files = run_query("select file from glob('" ~ (export_glob(table_name) | replace("'", "''")) ~ "')") -%}
        {%- if files.rows | length == 0 -%}
            {%- do problems.append("no file matches " ~ export_glob(table_name)) -%}
        {%- endif -%}
        {%- for file in files.columns[0].values() -%}
            {%- do problems.extend(header_problems(file, columns)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if problems -%}
        {%- do exceptions.raise_compiler_error(
            "The exports cannot be read: " ~ problems | join("; ")
            ~ ". Write the columns in that order, as documented in models/staging/csv/sources.yml."
        ) -%}
    {%- endif -%}
{%- endif -%}
{%- endmacro -%}


{%- macro header_problems(file, columns) -%}
{%- set header = run_query(
    "select header_line from read_csv('" ~ (file | replace("'", "''")) ~ "', auto_detect = false, header = false, "
    ~ "delim = '\t', quote = '', escape = '', columns = {'header_line': 'VARCHAR'}, parallel = false, "
    ~ "strict_mode = false, ignore_errors = true) limit 1"
) -%}
{%- set line = header.rows[0][0] if header.rows | length and header.rows[0][0] else "" -%}
{%- set found = [] -%}
{%- for name in line.split(",") -%}
    {%- do found.append(name | replace('"', "") | replace("\ufeff", "") | trim) -%}
{%- endfor -%}
{%- if found == columns -%}
    {{ return([]) }}
{%- endif -%}
{#- What was found is not repeated: a first line that is no header may be a patient's note. -#}
{%- set missing = columns | reject("in", found) | list -%}
{%- set reason = "misses column " ~ missing | join(", ") if missing else "has other columns or another order" -%}
{{ return([file ~ " " ~ reason ~ " (expected " ~ columns | join(",") ~ ")"]) }}
{%- endmacro -%}
