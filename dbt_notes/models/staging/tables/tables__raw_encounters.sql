{{ config(materialized="table", post_hook=keep_malformed_lines("encounters")) }}

{{ landed_table("encounters") }}
