{{ config(materialized="table", post_hook=keep_malformed_lines("patients")) }}

{{ landed_table("patients") }}
