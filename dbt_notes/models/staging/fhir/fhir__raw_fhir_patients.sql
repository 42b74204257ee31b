{{ config(materialized="table", post_hook=keep_malformed_lines("fhir_patients")) }}

{{ landed_table("fhir_patients") }}
