"""Processes killed at random moments while the services run the whole path: is anything lost, or there twice?

`make faults` runs it (hours) and writes the table of docs/reliability.md. The profile is `tests/profiles/faults.yaml`.
"""
