{{ config(materialized="table", post_hook=keep_malformed_lines("fhir_claims")) }}

{{ landed_table("fhir_claims") }}
