{{ config(materialized="table", post_hook=keep_malformed_lines("remittances")) }}

{{ landed_table("remittances", kind="x12_835") }}
