"""The services behind `lang1 serve` as plain processes of one machine, and what keeps them running (M66).

Nothing here imports Dagster but `run_launcher`, which Dagster loads itself: the supervisor is to be small and to stay up.
"""
