{%- macro date_of(column) -%}
cast({{ timestamp_of(column) }} as date)
{%- endmacro -%}


{#- A month or day as a date has it, 1 where it is not known. `lpad` alone would cut 123 to December. -#}
{%- macro two_digits(column) -%}
case when length({{ column }}) > 1 then {{ column }} else lpad(coalesce({{ column }}, '1'), 2, '0') end
{%- endmacro -%}


{#-
  The key of a row, where it may be shown. A line of a note that was not quoted can have as many commas as its table has
  columns, and then stands where the key should be: what has several words and no digit, or many words, is not shown.
-#}
{%- macro shown_key(column) -%}
case
        when
            length({{ column }}) <= 100
            and (
                {{ matches(column, "^\\S+$") }}
                or ({{ matches(column, "^\\S+(\\s\\S+){1,2}$") }} and {{ matches(column, "[0-9]") }})
            )
            then {{ column }}
        else '(' || cast(length({{ column }}) as {{ text_type() }}) || ' characters that are no key)'
    end
{%- endmacro -%}


{#- True when the column holds a text that is no date, or one outside the plausible dates. -#}
{%- macro is_impossible_date(column) -%}
(
        nullif(trim({{ column }}), '') is not null
        and (
            {{ timestamp_of(column) }} is null
            or {{ timestamp_of(column) }} < timestamp '{{ var("minimum_plausible_date") }} 00:00:00'
            or {{ timestamp_of(column) }} >= timestamp '{{ var("maximum_plausible_date") }} 00:00:00'
        )
    )
{%- endmacro -%}


{#- The reasons that rows of all tables share, as the first branches of a `case`. -#}
{%- macro reasons_of_any_row() -%}
when malformed_at is not null then 'malformed_line'
        when source_reason is not null then source_reason
        when copy_number > 1 then 'duplicate_row'
{%- endmacro -%}


{#- The number of this copy among equal rows: the first in the file is kept. -#}
{%- macro copy_number() -%}
row_number() over (partition by source_table, row_hash order by landed_row)
{%- endmacro -%}


{#- Rank among the rows of one key that nothing else is wrong with: the first in the file is kept. -#}
{%- macro key_rank(key_columns) -%}
row_number() over (partition by {{ key_columns | join(", ") }}, row_reason is null order by source_table, landed_row)
{%- endmacro -%}


{%- macro reject_reason() -%}
coalesce(row_reason, case when key_rank > 1 then 'duplicate_key' end)
{%- endmacro -%}
