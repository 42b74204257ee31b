{{ config(materialized="table", post_hook=keep_malformed_lines("care_site")) }}

{{ landed_table("care_site") }}
