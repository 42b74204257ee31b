"""MLflow: one experiment a stage, the same names for the same things, links both ways between asset and run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dagster as dg

from lang1_assets.resources import tracked_names
from lang1_assets.resources.comparisons import (
    MACHINE_LEARNING,
    Compared,
    describe_experiment,
    view_address,
    view_id,
    views_of,
)
from lang1_assets.resources.mlflow_client import open_client
from lang1_assets.resources.store import Artifact
from lang1_assets.resources.tracked_names import CURRENT_TAG
from lang1_assets.resources.tracked_run import MAX_PARAM_CHARACTERS, TrackedRun, flatten, names_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

RUN_ID_FILE = "mlflow_run_id"
CANDIDATE_ALIAS = "candidate"
IN_SERVICE_ALIAS = "in_service"
FINETUNED_TAG = "finetuned"
"""On a version: when its model was made."""
KEPT_TAG = "kept"
"""On a version of the copy that serves."""
SYNTHETIC = "Synthetic data: the embedded hospital. No number here is about real patients."
MAX_RUNS = 1_000
MAX_VERSIONS = 10_000
NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
"""MLflow's word for it."""


class Tracking(dg.ConfigurableResource):
    """The tracking server or database, and where a person opens it."""

    tracking_uri: str
    ui_url: str
    artifact_root: str
    """Where new experiments keep attached files; fixed when an experiment is created."""
    dagster_url: str
    profile: str = ""
    """Whose comparisons are kept in the experiments; none without a name."""
    is_synthetic: bool = False
    test_splits: list[str] = []  # noqa: RUF012 - pydantic copies it for each instance
    """Of its tests, the one that results are compared on last."""
    tasks: list[str] = []  # noqa: RUF012

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
        tags = self._tags(context, self._comparisons(experiment_id, experiment))
        run_id = self._resume_or_create(client, experiment_id, name, work, tags)
        self._log_params(client, run_id, params)
        self._log_datasets(client, run_id, inputs, params)
        tracked = TrackedRun(
            client=client,
            run_id=run_id,
            url=self.run_url(experiment_id, run_id),
            experiment_id=experiment_id,
            tags=tags,
            params=names_of(params),
        )
        try:
            yield tracked
        except BaseException as error:
            was_stopped = isinstance(error.__cause__ or error, dg.DagsterExecutionInterruptedError)
            tracked.end("KILLED" if was_stopped else "FAILED")
            raise
        tracked.end("FINISHED")
        self._make_current(client, experiment_id, run_id, tags)

    def end_orphans(self, outcome_of: Callable[[str], str | None]) -> int:
        """End the runs that are left running by a Dagster run that has ended, and count them.

        Args:
            outcome_of: id of a Dagster run -> `FAILED`, `KILLED` or `FINISHED`; None where it goes on or is not known.
        """
        client = self._client()
        experiments = [known.experiment_id for known in client.search_experiments()]
        running = client.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=MAX_RUNS)
        ended = 0
        for run in running:
            outcome = outcome_of(run.data.tags.get(tracked_names.RUN_TAG, ""))
            if outcome is not None:
                client.set_terminated(run.info.run_id, outcome)
                ended += 1
        return ended

    def run_url(self, experiment_id: str, run_id: str) -> str:
        return f"{self.ui_url}/#/experiments/{experiment_id}/runs/{run_id}?{MACHINE_LEARNING}"

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
        """A version of a registered model; its number. The alias `candidate` is on the version that was finetuned last.

        What is registered already, by the fingerprint in `tags`, has the version it has. When each was finetuned is the tag
        `FINETUNED_TAG`: a model that is made again by settings of before is the last one again, one that is looked at again is not.
        """
        client = self._client()
        if not client.search_registered_models(f"name = '{model_name}'"):
            client.create_registered_model(model_name)
        version = self.find_version(model_name, tags["fingerprint"])
        if version is None:
            made = client.create_model_version(model_name, source=str(folder), run_id=run_id, tags=dict(tags))
            version = str(made.version)
        elif FINETUNED_TAG in tags:
            self.tag_version(model_name, version, {FINETUNED_TAG: tags[FINETUNED_TAG]})
        others = (known for known in _versions(client, model_name) if str(known.version) != version)
        last = max((known.tags.get(FINETUNED_TAG, "") for known in others if KEPT_TAG not in known.tags), default="")
        if tags.get(FINETUNED_TAG, "") >= last:
            client.set_registered_model_alias(model_name, CANDIDATE_ALIAS, version)
        return version

    def find_version(self, model_name: str, fingerprint: str) -> str | None:
        """The version that a finetuning registered for its artifact; None where this tracking database knows none."""
        found = _registered(self._client(), model_name, fingerprint)
        return None if found is None else str(found.version)

    def tag_version(self, model_name: str, version: str, tags: Mapping[str, str]) -> None:
        client = self._client()
        for key, value in tags.items():
            client.set_model_version_tag(model_name, version, key, value[:MAX_PARAM_CHARACTERS])

    def attach_card(self, model_name: str, version: str, run_id: str, description: str, files: Sequence[Path]) -> None:
        """A short description on the version's page, and on that of its copy that serves; the files on the page of its run."""
        client = self._client()
        client.update_model_version(model_name, version, description)
        fingerprint = client.get_model_version(model_name, version).tags.get("fingerprint")
        for known in _versions(client, model_name):
            if KEPT_TAG in known.tags and known.tags.get("fingerprint") == fingerprint:
                client.update_model_version(model_name, known.version, description)
        for file in files:
            client.log_artifact(run_id, str(file), "model_card")

    def put_in_service(self, model_name: str, fingerprint: str, kept: Path) -> str | None:
        """The alias `in_service` to a version of the copy that serves; its number.

        Not to the version that its finetuning registered: where that one's source was, the next finetuning writes its model.

        Args:
            kept: the folder of the copy; it bears all that its original's version is tagged with.

        Returns:
            None where this tracking database knows no version of the model.
        """
        client = self._client()
        original = _registered(client, model_name, fingerprint)
        if original is None:
            return None
        tags = {**original.tags, KEPT_TAG: "true"}
        known = [
            str(one.version)
            for one in _versions(client, model_name)
            if KEPT_TAG in one.tags and (one.tags.get("fingerprint"), one.source) == (fingerprint, str(kept))
        ]
        if known:
            version = known[0]
            self.tag_version(model_name, version, tags)
        else:
            made = client.create_model_version(model_name, source=str(kept), run_id=original.run_id, tags=tags)
            version = str(made.version)
        if original.description:
            client.update_model_version(model_name, version, original.description)
        client.set_registered_model_alias(model_name, IN_SERVICE_ALIAS, version)
        return version

    def _client(self) -> MlflowClient:
        return open_client(self.tracking_uri)

    def _experiment(self, client: MlflowClient, name: str) -> str:
        """Its id; made when there is none, and with this profile's comparisons."""
        experiment_id = self._find_or_create(client, name)
        if self.profile:
            describe_experiment(client, experiment_id, name, self._compared(), is_synthetic=self.is_synthetic)
        return experiment_id

    def _compared(self) -> Compared:
        return Compared(profile=self.profile, splits=tuple(self.test_splits), tasks=tuple(self.tasks))

    def _comparisons(self, experiment_id: str, name: str) -> str:
        """Markdown links from a run to what it is compared in."""
        views = views_of(name, self._compared()) if self.profile else []
        return ", ".join(
            f"[{view.title}]({view_address(experiment_id, view_id(self.profile, view))})" for view in views
        )

    def _find_or_create(self, client: MlflowClient, name: str) -> str:
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
    def _resume_or_create(
        client: MlflowClient, experiment_id: str, name: str, work: Path, tags: Mapping[str, str]
    ) -> str:
        """The run that `work` names, of which a call that fails is no reason to begin another; a new one where it is gone.

        Raises:
            MlflowException: the tracking server or its database does not answer.
        """
        kept = work / RUN_ID_FILE
        run_id = kept.read_text() if kept.exists() else ""
        if run_id and _is_there(client, run_id):
            # Tags first: a run that is running and bears the name of a Dagster run that has ended is taken for a dead one.
            for key, value in tags.items():
                client.set_tag(run_id, key, value)
            client.update_run(run_id, status="RUNNING")
            return run_id
        # What a job wrote down was told to the run that is gone: the new one is told all of it.
        for read in work.glob("*.jsonl.read"):
            read.unlink()
        run_id = client.create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id
        kept.write_text(run_id)
        return run_id

    def _tags(self, context: dg.AssetExecutionContext, comparisons: str) -> dict[str, str]:
        key = context.asset_key.to_user_string()
        asset_url, run_url = f"{self.dagster_url}/assets/{key}", f"{self.dagster_url}/runs/{context.run_id}"
        partition = context.partition_key if context.has_partition_key else None
        if partition is not None:
            asset_url += f"?view=partitions&partition={quote(partition)}"
        note = f"Asset [{key}]({asset_url}), made by [this run]({run_url})."
        note += f"\n\nCompare: {comparisons}" if comparisons else ""
        return {
            tracked_names.RUN_TAG: context.run_id,
            tracked_names.ASSET_TAG: key,
            tracked_names.ASSET_URL_TAG: asset_url,
            tracked_names.RUN_URL_TAG: run_url,
            tracked_names.SYNTHETIC_TAG: str(self.is_synthetic).lower(),
            "mlflow.note.content": note + (f"\n\n{SYNTHETIC}" if self.is_synthetic else ""),
            **({} if partition is None else {tracked_names.PARTITION_TAG: partition}),
        }

    @staticmethod
    def _make_current(client: MlflowClient, experiment_id: str, run_id: str, tags: Mapping[str, str]) -> None:
        """It takes the place of what an earlier materialization left of the same asset, partition, profile and name."""
        made = client.get_run(run_id)
        key = tags[tracked_names.ASSET_TAG]
        before = f"tags.`{CURRENT_TAG}` = 'true' and tags.`{tracked_names.ASSET_TAG}` = '{key}'"
        for earlier in client.search_runs([experiment_id], before, max_results=MAX_RUNS):
            if earlier.info.run_id != run_id and _identity(earlier) == _identity(made):
                client.set_tag(earlier.info.run_id, CURRENT_TAG, "false")
        client.set_tag(run_id, CURRENT_TAG, "true")

    @staticmethod
    def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
        known = client.get_run(run_id).data.params
        for key, value in flatten(params).items():
            # Changing a parameter is an error in MLflow; an interrupted run that goes on has the same ones.
            if key not in known:
                client.log_param(run_id, key, str(value)[:MAX_PARAM_CHARACTERS])

    @staticmethod
    def _log_datasets(client: MlflowClient, run_id: str, inputs: Sequence[Artifact], params: Mapping[str, Any]) -> None:
        """Every artifact that it read, by its fingerprint, with the counts that its maker gave."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        use = "training" if params.get("part") == tracked_names.TRAINING else "evaluation"
        tags = [InputTag("mlflow.data.context", use)]
        datasets = [
            DatasetInput(Dataset(item.name, item.fingerprint, "local", str(item.path), profile=_counts(item)), tags)
            for item in inputs
        ]
        if datasets:
            client.log_inputs(run_id, datasets)


def registered_name(profile: str, recipe: str) -> str:
    """Models that are for the same use, whatever they were made from, are versions of one registered model."""
    return f"{profile}-{recipe}"


def _is_there(client: MlflowClient, run_id: str) -> bool:
    """False where the tracking database was removed or replaced since, or somebody has deleted the run."""
    from mlflow.entities import LifecycleStage
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != NOT_THERE:
            raise
        return False
    return bool(run.info.lifecycle_stage == LifecycleStage.ACTIVE)


def _versions(client: MlflowClient, model_name: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{model_name}'", max_results=MAX_VERSIONS))


def _registered(client: MlflowClient, model_name: str, fingerprint: str) -> ModelVersion | None:
    found = (known for known in _versions(client, model_name) if known.tags.get("fingerprint") == fingerprint)
    return next((known for known in found if KEPT_TAG not in known.tags), None)


def _counts(item: Artifact) -> str:
    counts = {
        key: value for key, value in item.summary.items() if isinstance(value, int) and not isinstance(value, bool)
    }
    return json.dumps(counts)


def _identity(run: Run) -> tuple[str | None, ...]:
    return (run.info.run_name, run.data.tags.get(tracked_names.PARTITION_TAG), run.data.params.get("profile"))
