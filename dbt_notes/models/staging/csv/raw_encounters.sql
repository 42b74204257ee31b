{{ config(post_hook=keep_malformed_lines("encounters")) }}

{{ landed_rows("encounters") }}
