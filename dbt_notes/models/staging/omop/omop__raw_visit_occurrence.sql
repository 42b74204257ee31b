{{ config(materialized="table", post_hook=keep_malformed_lines("visit_occurrence")) }}

{{ landed_table("visit_occurrence") }}
