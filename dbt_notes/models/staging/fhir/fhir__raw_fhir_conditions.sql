{{ config(materialized="table", post_hook=keep_malformed_lines("fhir_conditions")) }}

{{ landed_table("fhir_conditions") }}
