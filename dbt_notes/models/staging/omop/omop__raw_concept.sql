{{ config(materialized="table", post_hook=keep_malformed_lines("concept")) }}

{{ landed_table("concept") }}
