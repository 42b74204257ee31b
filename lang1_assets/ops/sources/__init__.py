"""Readers of the formats in which hospitals hand over records, each into flat text tables for staging."""
