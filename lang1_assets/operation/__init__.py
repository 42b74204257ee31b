"""Day by day: which model serves, alarms, runs whose process died, retention, people who are forgotten."""
