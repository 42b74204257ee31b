{{ config(post_hook=keep_malformed_lines("diagnoses")) }}

{{ landed_rows("diagnoses") }}
