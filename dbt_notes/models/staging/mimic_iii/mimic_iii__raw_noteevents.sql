{{ config(materialized="table", post_hook=keep_malformed_lines("noteevents")) }}

{{ landed_table("noteevents") }}
