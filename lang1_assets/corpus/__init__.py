"""Hospital records and web text to shards and labeled examples."""
