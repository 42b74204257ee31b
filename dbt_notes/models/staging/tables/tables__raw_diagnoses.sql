{{ config(materialized="table", post_hook=keep_malformed_lines("diagnoses")) }}

{{ landed_table("diagnoses") }}
