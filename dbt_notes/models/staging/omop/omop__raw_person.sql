{{ config(materialized="table", post_hook=keep_malformed_lines("person")) }}

{{ landed_table("person") }}
