{{ config(materialized="table", post_hook=keep_malformed_lines("condition_occurrence")) }}

{{ landed_table("condition_occurrence") }}
