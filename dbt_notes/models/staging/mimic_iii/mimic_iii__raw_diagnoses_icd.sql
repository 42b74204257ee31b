{{ config(materialized="table", post_hook=keep_malformed_lines("diagnoses_icd")) }}

{{ landed_table("diagnoses_icd") }}
