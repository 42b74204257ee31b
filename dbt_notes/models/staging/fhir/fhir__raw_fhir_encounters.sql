{{ config(materialized="table", post_hook=keep_malformed_lines("fhir_encounters")) }}

{{ landed_table("fhir_encounters") }}
