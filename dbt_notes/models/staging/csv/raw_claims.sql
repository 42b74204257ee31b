{{ config(post_hook=keep_malformed_lines("claims")) }}

{{ landed_rows("claims") }}
