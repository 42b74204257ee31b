"""Who made what, from which data: an append-only chain of rows, each with the hash of the row before it."""
