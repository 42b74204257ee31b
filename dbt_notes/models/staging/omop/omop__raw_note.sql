{{ config(materialized="table", post_hook=keep_malformed_lines("note")) }}

{{ landed_table("note") }}
