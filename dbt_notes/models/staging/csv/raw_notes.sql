{{ config(post_hook=keep_malformed_lines("notes")) }}

{{ landed_rows("notes") }}
