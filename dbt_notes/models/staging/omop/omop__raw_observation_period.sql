{{ config(materialized="table", post_hook=keep_malformed_lines("observation_period")) }}

{{ landed_table("observation_period") }}
