"""MLflow: one experiment a stage, the same names for the same things, links both ways between asset and run."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from lang1_assets.resources.store import Artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID_FILE = "mlflow_run_id"
CANDIDATE_ALIAS = "candidate"
IN_SERVICE_ALIAS = "in_service"
MAX_PARAM_CHARACTERS = 6_000
ALERTS_TAG = "alerts"
LAST_ALERT_TAG = "alerts.last"


@dataclass(frozen=True, kw_only=True)
class TrackedRun:
    """An open MLflow run."""

    client: MlflowClient
    run_id: str
    url: str
    experiment_id: str

    def log_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows of a job's `metrics.jsonl`; trials of a search go to runs of their own."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, float(value), int(row["time"] * 1000), row["step"])
            for row in rows
            if row["group"] == "train"
            for name, value in row["values"].items()
        ]
        # MLflow takes at most 1,000 metrics a call.
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + 1000])
        for row in rows:
            if row["group"] != "train":
                self._log_child(row)

    def log_values(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run_id, _metric_name(name), value)

    def log_alert(self, row: Mapping[str, Any]) -> None:
        """What a person sees on the run's page: how many there were and the last of them, and a mark in the charts."""
        earlier = int(self.client.get_run(self.run_id).data.tags.get(ALERTS_TAG, 0))
        self.client.set_tag(self.run_id, ALERTS_TAG, earlier + 1)
        self.client.set_tag(self.run_id, LAST_ALERT_TAG, f"{row['kind']}: {row['text']}"[:MAX_PARAM_CHARACTERS])
        self.client.log_metric(self.run_id, _metric_name(f"alerts/{row['kind']}"), 1, step=row["step"] or 0)

    def log_file(self, path: Path) -> None:
        """Attach a file. Only results and reports: never anything with note text."""
        self.client.log_artifact(self.run_id, str(path))

    def _log_child(self, row: Mapping[str, Any]) -> None:
        """A trial of a search as a run under this one; its rate is a parameter there, to be compared like any other."""
        tags = {"mlflow.parentRunId": self.run_id, "mlflow.runName": row["group"]}
        child = self.client.create_run(self.experiment_id, tags=tags)
        if "train/learning_rate" in row["values"]:
            self.client.log_param(child.info.run_id, "training.learning_rate", row["values"]["train/learning_rate"])
        for name, value in row["values"].items():
            self.client.log_metric(child.info.run_id, _metric_name(name), value, step=row["step"])
        self.client.set_terminated(child.info.run_id)


class Tracking(dg.ConfigurableResource):
    """The tracking server or database, and where a person opens it."""

    tracking_uri: str
    ui_url: str
    artifact_root: str
    """Where new experiments keep attached files; fixed when an experiment is created."""
    dagster_url: str

    @contextmanager
    def run(
        self,
        context: dg.AssetExecutionContext,
        *,
        experiment: str,
        name: str,
        work: Path,
        params: Mapping[str, Any],
        inputs: Sequence[Artifact],
    ) -> Iterator[TrackedRun]:
        """An MLflow run for one materialization; an interrupted one is taken up again by the id kept in `work`."""
        client = self._client()
        experiment_id = self._experiment(client, experiment)
        run_id = self._resume_or_create(client, experiment_id, name, work)
        for key, value in self._tags(context).items():
            client.set_tag(run_id, key, value)
        self._log_params(client, run_id, params)
        self._log_datasets(client, run_id, inputs)
        tracked = TrackedRun(
            client=client, run_id=run_id, url=self.run_url(experiment_id, run_id), experiment_id=experiment_id
        )
        try:
            yield tracked
        except BaseException as error:
            was_stopped = isinstance(error.__cause__ or error, dg.DagsterExecutionInterruptedError)
            client.set_terminated(run_id, "KILLED" if was_stopped else "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")

    def run_url(self, experiment_id: str, run_id: str) -> str:
        return f"{self.ui_url}/#/experiments/{experiment_id}/runs/{run_id}"

    @staticmethod
    def describe_model(folder: Path, options: Sequence[str]) -> None:
        """Put MLflow's signature into a model's folder: a note goes in, a probability of each option comes out."""
        from mlflow.models import Model, ModelSignature
        from mlflow.types import ColSpec, Schema

        signature = ModelSignature(
            inputs=Schema([ColSpec("string", "note")]),
            outputs=Schema([ColSpec("double", option) for option in options]),
        )
        Model(signature=signature).save(str(folder / "MLmodel"))

    def register(self, model_name: str, folder: Path, run_id: str, tags: Mapping[str, str]) -> str:
        """A new version of a registered model with the alias `candidate`; the version's number.

        Registering the same folder again with the same tags gives the version it has.
        """
        client = self._client()
        if not client.search_registered_models(f"name = '{model_name}'"):
            client.create_registered_model(model_name)
        for known in client.search_model_versions(f"name = '{model_name}'"):
            if known.tags.get("fingerprint") == tags["fingerprint"]:
                return str(known.version)
        made = client.create_model_version(model_name, source=str(folder), run_id=run_id, tags=dict(tags))
        client.set_registered_model_alias(model_name, CANDIDATE_ALIAS, made.version)
        return str(made.version)

    def find_version(self, model_name: str, fingerprint: str) -> str | None:
        """The version that was registered for an artifact; None where this tracking database knows none."""
        for known in self._client().search_model_versions(f"name = '{model_name}'"):
            if known.tags.get("fingerprint") == fingerprint:
                return str(known.version)
        return None

    def tag_version(self, model_name: str, version: str, tags: Mapping[str, str]) -> None:
        client = self._client()
        for key, value in tags.items():
            client.set_model_version_tag(model_name, version, key, value[:MAX_PARAM_CHARACTERS])

    def attach_card(self, model_name: str, version: str, run_id: str, description: str, files: Sequence[Path]) -> None:
        """A short description on the version's page, and the files on the page of its run."""
        client = self._client()
        client.update_model_version(model_name, version, description)
        for file in files:
            client.log_artifact(run_id, str(file), "model_card")

    def put_in_service(self, model_name: str, version: str) -> None:
        self._client().set_registered_model_alias(model_name, IN_SERVICE_ALIAS, version)

    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        # It reports each table that it creates.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        return MlflowClient(self.tracking_uri)

    def _experiment(self, client: MlflowClient, name: str) -> str:
        from mlflow.exceptions import MlflowException

        known = client.get_experiment_by_name(name)
        if known is not None:
            return known.experiment_id
        try:
            return client.create_experiment(name, artifact_location=f"{self.artifact_root}/{name}")
        except MlflowException:
            # Another step made it in the meantime.
            made = client.get_experiment_by_name(name)
            if made is None:
                raise
            return made.experiment_id

    @staticmethod
    def _resume_or_create(client: MlflowClient, experiment_id: str, name: str, work: Path) -> str:
        from mlflow.exceptions import MlflowException

        kept = work / RUN_ID_FILE
        if kept.exists():
            run_id = kept.read_text()
            try:
                client.update_run(run_id, status="RUNNING")
                return run_id
            except MlflowException:
                # The tracking database was removed or replaced since.
                kept.unlink()
        run_id = client.create_run(experiment_id, run_name=name).info.run_id
        kept.write_text(run_id)
        return run_id

    def _tags(self, context: dg.AssetExecutionContext) -> dict[str, str]:
        key = context.asset_key.to_user_string()
        tags = {
            "dagster.run_id": context.run_id,
            "dagster.asset_key": key,
            "dagster.asset_url": f"{self.dagster_url}/assets/{key}",
            "mlflow.note.content": f"Asset [{key}]({self.dagster_url}/assets/{key})",
        }
        if context.has_partition_key:
            tags["dagster.partition"] = context.partition_key
        return tags

    @staticmethod
    def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
        known = client.get_run(run_id).data.params
        for key, value in flatten(params).items():
            # Changing a parameter is an error in MLflow; an interrupted run that goes on has the same ones.
            if key not in known:
                client.log_param(run_id, key, str(value)[:MAX_PARAM_CHARACTERS])

    @staticmethod
    def _log_datasets(client: MlflowClient, run_id: str, inputs: Sequence[Artifact]) -> None:
        from mlflow.entities import Dataset, DatasetInput

        datasets = [DatasetInput(Dataset(item.name, item.fingerprint, "local", str(item.path))) for item in inputs]
        if datasets:
            client.log_inputs(run_id, datasets)


def registered_name(profile: str, recipe: str) -> str:
    """Models that are for the same use, whatever they were made from, are versions of one registered model."""
    return f"{profile}-{recipe}"


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


def _metric_name(name: str) -> str:
    return re.sub(r"[^\w\-. /:]", "_", name)
