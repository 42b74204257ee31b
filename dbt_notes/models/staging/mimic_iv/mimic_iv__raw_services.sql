{{ config(materialized="table", post_hook=keep_malformed_lines("services")) }}

{{ landed_table("services") }}
