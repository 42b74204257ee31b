"""Plain functions and job entry points: no Dagster, no MLflow, one module a job of work."""
