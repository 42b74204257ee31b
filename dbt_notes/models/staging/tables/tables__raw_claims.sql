{{ config(materialized="table", post_hook=keep_malformed_lines("claims")) }}

{{ landed_table("claims") }}
