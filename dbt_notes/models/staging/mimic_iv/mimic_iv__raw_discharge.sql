{{ config(materialized="table", post_hook=keep_malformed_lines("discharge")) }}

{{ landed_table("discharge") }}
