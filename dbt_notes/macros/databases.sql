{#- What DuckDB and PostgreSQL write differently. -#}


{#- Before anything is built. PostgreSQL 15 has no cast that gives null instead of an error, so it gets two. -#}
{%- macro prepare_database() -%}
{%- if target.type == "postgres" and execute -%}
create schema if not exists {{ target.schema }};
comment on schema {{ target.schema }} is 'made by lang1; its tables are replaced';
create or replace function {{ target.schema }}.timestamp_or_null(value text) returns timestamp as $$
begin
    return cast(value as timestamp);
exception when others then
    return null;
end
$$ language plpgsql stable strict parallel safe;
create or replace function {{ target.schema }}.integer_or_null(value text) returns integer as $$
begin
    return cast(value as integer);
exception when others then
    return null;
end
$$ language plpgsql stable strict parallel safe;
create table if not exists {{ target.schema }}.forgotten_subjects (subject_id text primary key)
{%- endif -%}
{%- endmacro -%}


{#- Text as a timestamp; null when it is empty or is none (2021-02-30). A zone is left off: times are local. -#}
{%- macro timestamp_of(column) -%}
{%- set local -%}
case
            -- Both databases take words such as 'epoch', PostgreSQL 'now' and 'today' too.
            when strpos('0123456789', substr(trim({{ column }}), 1, 1)) = 0 then null
            when length({{ column }}) > 19
                then regexp_replace(trim({{ column }}), '(:[0-9]{2}([.][0-9]+)?) ?(Z|[+-][0-9]{2}(:?[0-9]{2})?)$', '\1')
            else nullif(trim({{ column }}), '')
        end
{%- endset -%}
{%- if target.type == "postgres" -%}
{{ target.schema }}.timestamp_or_null({{ local }})
{%- else -%}
try_cast({{ local }} as timestamp)
{%- endif -%}
{%- endmacro -%}


{%- macro integer_of(column) -%}
{%- if target.type == "postgres" -%}
{{ target.schema }}.integer_or_null(nullif(trim({{ column }}), ''))
{%- else -%}
try_cast(nullif(trim({{ column }}), '') as integer)
{%- endif -%}
{%- endmacro -%}


{#- True where the text holds a match of the pattern, without regard to case. Word boundaries are `\b` in the pattern. -#}
{%- macro matches(text, pattern) -%}
{%- if target.type == "postgres" -%}
coalesce({{ text }} ~* '{{ pattern | replace("\\b", "\\y") }}', false)
{%- else -%}
coalesce(regexp_matches({{ text }}, '{{ pattern }}', 'i'), false)
{%- endif -%}
{%- endmacro -%}


{#- Text in the order of its bytes, whatever the server's language: the same note is chosen everywhere. -#}
{%- macro binary_order(column) -%}
{{ column }}{{ ' collate "C"' if target.type == "postgres" }}
{%- endmacro -%}


{#- MD5 as the smallest type there is for it: on DuckDB a number, which is grouped and sorted twice as fast as text. -#}
{%- macro digest_of_text() -%}
{{ "md5" if target.type == "postgres" else "md5_number" }}
{%- endmacro -%}
