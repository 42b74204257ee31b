{{ config(materialized="table", post_hook=keep_malformed_lines("death")) }}

{{ landed_table("death") }}
