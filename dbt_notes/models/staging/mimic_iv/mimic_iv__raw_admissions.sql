{{ config(materialized="table", post_hook=keep_malformed_lines("admissions")) }}

{{ landed_table("admissions") }}
