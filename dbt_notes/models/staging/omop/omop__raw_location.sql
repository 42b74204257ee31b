{{ config(materialized="table", post_hook=keep_malformed_lines("location")) }}

{{ landed_table("location") }}
