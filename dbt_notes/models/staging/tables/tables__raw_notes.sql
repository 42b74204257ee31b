{{ config(materialized="table", post_hook=keep_malformed_lines("notes")) }}

{{ landed_table("notes") }}
