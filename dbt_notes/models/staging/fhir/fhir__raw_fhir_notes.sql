{{ config(materialized="table", post_hook=keep_malformed_lines("fhir_notes")) }}

{{ landed_table("fhir_notes") }}
