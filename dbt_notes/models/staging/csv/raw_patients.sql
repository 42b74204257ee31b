{{ config(post_hook=keep_malformed_lines("patients")) }}

{{ landed_rows("patients") }}
