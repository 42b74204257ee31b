{{ config(materialized="table", post_hook=keep_malformed_lines("radiology")) }}

{{ landed_table("radiology") }}
