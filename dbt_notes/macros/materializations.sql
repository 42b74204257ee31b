{#-
  A table that other stages read: written as one Parquet file under `parquet_path`, and a view of that file here.

  dbt-duckdb's own `external` writes a row of nulls when there are no rows, so that an empty cohort looks like one note,
  and stores everything twice on the way (a table first, then the file).
-#}
{%- materialization parquet, adapter="duckdb" -%}
{%- set location = (var("parquet_path") ~ "/" ~ this.identifier ~ ".parquet") | replace("'", "''") -%}
{%- set existing = load_cached_relation(this) -%}
{{ run_hooks(pre_hooks) }}
{%- call statement("main") -%}
copy ({{ sql }}) to '{{ location }}' (format parquet, compression zstd)
{%- endcall -%}
{%- if existing is not none and existing.type != "view" -%}
    {%- do adapter.drop_relation(existing) -%}
{%- endif -%}
{%- call statement("view") -%}
create or replace view {{ this }} as select * from read_parquet('{{ location }}')
{%- endcall -%}
{{ run_hooks(post_hooks) }}
{%- do adapter.commit() -%}
{{ return({"relations": [this.incorporate(type="view")]}) }}
{%- endmaterialization -%}


{#- On a server the same tables are tables; `lang1_assets.ops.sources.server` fetches them after the build. -#}
{%- materialization parquet, adapter="postgres" -%}
{%- set existing = load_cached_relation(this) -%}
{{ run_hooks(pre_hooks) }}
{%- if existing is not none -%}
    {%- do adapter.drop_relation(existing) -%}
{%- endif -%}
{%- call statement("main") -%}
create table {{ this }} as {{ sql }}
{%- endcall -%}
{{ run_hooks(post_hooks) }}
{%- do adapter.commit() -%}
{{ return({"relations": [this.incorporate(type="table")]}) }}
{%- endmaterialization -%}
