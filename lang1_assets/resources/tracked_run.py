"""One open MLflow run, and the runs under it: trials of a search, and the benchmark while a model is pretrained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lang1_assets.resources import tracked_names
from lang1_assets.resources.tracked_names import ALERTS_TAG, LAST_ALERT_TAG, MONITOR, MONITOR_PREFIX, TRIAL, metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_PARAM_CHARACTERS = 6_000
MAX_METRICS = 1_000
"""In one call."""
MAX_CHILDREN = 1_000


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """An open MLflow run."""

    client: MlflowClient
    run_id: str
    url: str
    experiment_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of runs under it as well: where they come from."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Which model it is, for runs under it as well."""

    def log_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of a job's `metrics.jsonl`; monitors and trials of a search go to runs of their own."""
        own, monitored = split_monitors([row for row in rows if row["group"] == "train"])
        self._log_batch(self.run_id, own)
        if monitored:
            self._log_batch(self._child(MONITOR, MONITOR), monitored)
        for row in rows:
            if row["group"] != "train":
                self._log_trial(row)

    def log_values(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run_id, metric_name(name), value)

    def log_alert(self, row: Mapping[str, Any]) -> None:
        """What a person sees on the run's page: how many there were and the last of them, and a mark in the charts."""
        earlier = int(self.client.get_run(self.run_id).data.tags.get(ALERTS_TAG, 0))
        self.client.set_tag(self.run_id, ALERTS_TAG, earlier + 1)
        self.client.set_tag(self.run_id, LAST_ALERT_TAG, f"{row['kind']}: {row['text']}"[:MAX_PARAM_CHARACTERS])
        self.client.log_metric(self.run_id, metric_name(f"alerts/{row['kind']}"), 1, step=row["step"] or 0)

    def log_file(self, path: Path) -> None:
        """Attach a file. Only results and reports: never anything with note text."""
        self.client.log_artifact(self.run_id, str(path))

    def end(self, status: str) -> None:
        """Set it and the runs under it to `FINISHED`, `FAILED` or `KILLED`."""
        for child in self._children("attributes.status = 'RUNNING'"):
            self.client.set_terminated(child, status)
        self.client.set_terminated(self.run_id, status)

    def _log_batch(self, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(metric_name(name), float(value), int(row["time"] * 1000), row["step"])
            for row in rows
            for name, value in row["values"].items()
        ]
        for start in range(0, len(metrics), MAX_METRICS):
            self.client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])

    def _log_trial(self, row: Mapping[str, Any]) -> None:
        """A trial of a search; its rate is a parameter there, to be compared like any other."""
        trial = self._child(row["group"], TRIAL)
        if "train/learning_rate" in row["values"]:
            self.client.log_param(trial, "training.learning_rate", row["values"]["train/learning_rate"])
        for name, value in row["values"].items():
            self.client.log_metric(trial, metric_name(name), value, step=row["step"])
        self.client.set_terminated(trial)

    def _child(self, name: str, part: str) -> str:
        """The run of that name under this one, which a job that goes on finds again."""
        found = self._children(f"attributes.run_name = '{name}'")
        if found:
            self.client.update_run(found[0], status="RUNNING")
            return found[0]
        tags = {**self.tags, "mlflow.parentRunId": self.run_id, "mlflow.runName": name}
        run_id: str = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        for key in ("profile", "variant", "base", "recipe"):
            if key in self.params:
                self.client.log_param(run_id, key, self.params[key])
        self.client.log_param(run_id, "part", part)
        return run_id

    def _children(self, condition: str) -> list[str]:
        under = f"tags.`mlflow.parentRunId` = '{self.run_id}' and {condition}"
        found = self.client.search_runs([self.experiment_id], under, max_results=MAX_CHILDREN)
        return [run.info.run_id for run in found]


def split_monitors(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A run's own rows, and those of the benchmark beside it under the names that every evaluation has; none without values."""
    own, monitored = [], []
    for row in rows:
        values = row["values"]
        rest = {name: value for name, value in values.items() if not name.startswith(MONITOR_PREFIX)}
        marked = {name.removeprefix(MONITOR_PREFIX): values[name] for name in values if name not in rest}
        own += [{**row, "values": rest}] if rest else []
        monitored += [{**row, "values": marked}] if marked else []
    return own, monitored


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def names_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a run's parameters that say which model it is."""
    return {key: value for key, value in params.items() if key in tracked_names.PARAMS}
