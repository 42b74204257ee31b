"""Runs in a real MLflow: nested, current, with links both ways, datasets and saved comparisons."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from lang1_assets.resources.comparisons import NOTE_TAG, VIEW_TAG
from lang1_assets.resources.store import Artifact
from lang1_assets.resources.tracked_names import CURRENT_TAG, SYNTHETIC_TAG
from lang1_assets.resources.tracking import Tracking
from tests.mlflow_database import database  # noqa: F401

TASKS = ["readmission", "mortality"]


@pytest.fixture
def tracking(tmp_path: Path, database: Path) -> Tracking:  # noqa: F811
    return tracking_of(tmp_path, shutil.copyfile(database, tmp_path / "mlflow.db"))


def tracking_of(folder: Path, database: Path, **changed: Any) -> Tracking:  # noqa: F811
    values: dict[str, Any] = {
        "profile": "tiny",
        "is_synthetic": True,
        "test_splits": ["test", "temporal_2024"],
        "tasks": TASKS,
        "ui_url": "http://mlflow",
        "dagster_url": "http://dagster",
    }
    return Tracking(tracking_uri=f"sqlite:///{database}", artifact_root=str(folder), **{**values, **changed})


@pytest.fixture
def client(tracking: Tracking) -> MlflowClient:
    return MlflowClient(tracking.tracking_uri)


def materialize(
    tracking: Tracking,
    work: Path,
    body: Any = lambda run: None,
    *,
    experiment: str = "evaluate",
    name: str = "model-a, joint",
    params: dict[str, Any] | None = None,
    inputs: list[Artifact] | None = None,
    partition: str = "model-a",
) -> dg.ExecuteInProcessResult:
    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["model-a", "model-b"]))
    def joint_evaluation(context: dg.AssetExecutionContext) -> None:
        with tracking.run(
            context,
            experiment=experiment,
            name=name,
            work=work,
            params={"profile": "tiny", "part": "tests", "variant": "model-a", "recipe": "joint", **(params or {})},
            inputs=inputs or [],
        ) as run:
            body(run)

    work.mkdir(exist_ok=True)
    return dg.materialize([joint_evaluation], partition_key=partition, raise_on_error=False)


def runs_of(client: MlflowClient, experiment: str, condition: str = "") -> list[Run]:
    known = client.get_experiment_by_name(experiment)
    assert known is not None
    found: list[Run] = client.search_runs([known.experiment_id], condition, order_by=["attributes.start_time"])
    return found


def test_links_lead_both_ways_and_say_synthetic(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    urls: list[str] = []
    done = materialize(tracking, tmp_path / "work", lambda run: urls.append(run.url))
    (run,) = runs_of(client, "evaluate")
    assert urls == [
        f"http://mlflow/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?workflowType=machine_learning"
    ]
    tags = run.data.tags
    assert tags["dagster.asset_url"] == "http://dagster/assets/joint_evaluation?view=partitions&partition=model-a"
    assert tags["dagster.run_url"] == f"http://dagster/runs/{done.run_id}"
    assert f"({tags['dagster.asset_url']})" in tags[NOTE_TAG]
    assert f"({tags['dagster.run_url']})" in tags[NOTE_TAG]
    assert "Synthetic data" in tags[NOTE_TAG]
    assert "viewStateShareKey=tiny-auroc-temporal_2024" in tags[NOTE_TAG]
    assert tags[SYNTHETIC_TAG] == "true"


def test_the_last_finished_run_of_a_thing_is_current(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    for number, changed in enumerate(
        [{}, {"partition": "model-b"}, {"name": "model-a, other"}, {"params": {"profile": "lang1-1b"}}, {}]
    ):
        materialize(tracking, tmp_path / str(number), **changed)  # type: ignore[arg-type]
    current = [run.data.tags[CURRENT_TAG] for run in runs_of(client, "evaluate")]
    assert current == ["false", "true", "true", "true", "true"]


def test_a_run_that_fails_takes_nobody_s_place(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    def fail(run: Any) -> None:
        raise ValueError

    materialize(tracking, tmp_path / "first")
    assert not materialize(tracking, tmp_path / "second", fail).success
    first, second = runs_of(client, "evaluate")
    assert first.data.tags[CURRENT_TAG] == "true"
    assert CURRENT_TAG not in second.data.tags
    assert second.info.status == "FAILED"


ROWS = [
    {"group": "train", "time": 1.0, "step": 10, "values": {"train/loss": 2.5, "monitor/auroc/mortality/val": 0.51}},
    {"group": "train", "time": 2.0, "step": 20, "values": {"val/auroc/readmission": 0.7, "val/auroc_micro": 0.6}},
    {"group": "train", "time": 3.0, "step": 20, "values": {"monitor/accuracy/comprehension": 0.4}},
    {"group": "trial-0", "time": 4.0, "step": 5, "values": {"train/learning_rate": 1e-4, "val/auroc_micro": 0.55}},
]


def test_monitors_and_trials_are_runs_under_theirs(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    def log(run: Any) -> None:
        for row in ROWS:
            run.log_rows([row])

    materialize(tracking, tmp_path / "work", log, experiment="pretrain", params={"part": "training"})
    parent, *_ = runs_of(client, "pretrain", "params.part = 'training'")
    assert parent.data.metrics == {"train/loss": 2.5, "auroc/readmission/val": 0.7, "auroc_micro/all/val": 0.6}
    children = {
        run.info.run_name: run
        for run in runs_of(client, "pretrain", f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    }
    assert set(children) == {"monitor", "trial-0"}
    assert children["monitor"].data.metrics == {"auroc/mortality/val": 0.51, "accuracy/comprehension": 0.4}
    assert children["trial-0"].data.metrics["auroc_micro/all/val"] == 0.55
    assert children["trial-0"].data.params["training.learning_rate"] == "0.0001"
    for name, child in children.items():
        assert child.info.status == "FINISHED"
        assert child.data.params["variant"] == "model-a"
        assert child.data.params["part"] == name.split("-")[0]
        assert child.data.tags["dagster.run_id"] == parent.data.tags["dagster.run_id"]


def test_a_job_that_goes_on_finds_its_monitor_again(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    def stop(run: Any) -> None:
        run.log_rows(ROWS[:1])
        raise ValueError

    materialize(tracking, tmp_path / "work", stop, experiment="pretrain")
    materialize(tracking, tmp_path / "work", lambda run: run.log_rows(ROWS[2:3]), experiment="pretrain")
    (monitor,) = runs_of(client, "pretrain", "attributes.run_name = 'monitor'")
    assert monitor.info.status == "FINISHED"
    assert set(monitor.data.metrics) == {"auroc/mortality/val", "accuracy/comprehension"}
    assert len(runs_of(client, "pretrain")) == 2


def test_a_call_that_fails_begins_no_other_run(
    tracking: Tracking, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    materialize(tracking, work, stopped)
    (first,) = runs_of(client, "evaluate")

    def down(*arguments: Any) -> None:
        raise MlflowException("the database is locked", error_code=TEMPORARILY_UNAVAILABLE)

    for call in ("get_run", "set_tag"):
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, call, down)
            assert not materialize(tracking, work).success
    assert (work / "mlflow_run_id").read_text() == first.info.run_id
    assert materialize(tracking, work).success
    (run,) = runs_of(client, "evaluate")
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("gone", ["replaced", "deleted", "never written down"])
def test_a_run_that_is_gone_is_begun_again_and_told_everything(
    gone: str, tracking: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    materialize(tracking, work, stopped)
    kept = work / "mlflow_run_id"
    earlier = kept.read_text()
    for name in ("metrics.jsonl.read", "alerts.jsonl.read"):
        (work / name).write_text("100")
    if gone == "deleted":
        client.delete_run(earlier)
    else:
        kept.write_text("ab" * 16 if gone == "replaced" else "")
    assert materialize(tracking, work).success
    assert kept.read_text() not in ("", earlier, "ab" * 16)
    assert not list(work.glob("*.read"))


def stopped(run: Any) -> None:
    raise ValueError


def test_what_it_read_is_logged_with_counts(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    item = Artifact(
        name="readmission_examples",
        path=tmp_path,
        fingerprint="abc",
        summary={"num_notes": 7, "why": "x", "is_on": True},
    )
    materialize(tracking, tmp_path / "work", inputs=[item])
    (run,) = runs_of(client, "evaluate")
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("readmission_examples", "abc")
    assert json.loads(dataset.dataset.profile) == {"num_notes": 7}
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "evaluation")]


def experiment_tags(client: MlflowClient, name: str) -> dict[str, str]:
    known = client.get_experiment_by_name(name)
    assert known is not None
    return dict(known.tags)


def view_of(client: MlflowClient, key: str) -> tuple[str, dict[str, Any]]:
    kept = json.loads(experiment_tags(client, "evaluate")[VIEW_TAG + key])
    return kept["name"], json.loads(kept["state"])


def test_the_comparison_finds_the_best_base_and_recipe(
    tracking: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    """MLflow's own search with the view's filter and order, over runs that belong to it and runs that do not."""
    scores = [("model-a", "joint", 0.71), ("model-b", "joint", 0.74), ("model-b", "zero_shot", 0.52)]
    for number, (variant, recipe, value) in enumerate([*scores, ("model-b", "joint", 0.73)]):
        materialize(
            tracking,
            tmp_path / str(number),
            lambda run, value=value: run.log_values({"auroc/mean/temporal_2024": value}),
            name=f"{variant}, {recipe}",
            partition=variant,
            params={"variant": variant, "recipe": recipe},
        )
    materialize(tracking, tmp_path / "other", params={"part": "perplexity"}, name="model-a, perplexity")
    title, state = view_of(client, "tiny-auroc-temporal_2024")
    assert title == "AUROC on temporal_2024: which base, which recipe (tiny, synthetic data)"
    order = f"{state['orderByKey']} {'ASC' if state['orderByAsc'] else 'DESC'}"
    known = client.get_experiment_by_name("evaluate")
    assert known is not None
    found = client.search_runs([known.experiment_id], state["searchFilter"], order_by=[order])
    shown = [
        (r.data.params["variant"], r.data.params["recipe"], r.data.metrics["auroc/mean/temporal_2024"]) for r in found
    ]
    # The second model was scored again since: its first numbers are not compared any more.
    assert shown == [("model-b", "joint", 0.73), ("model-a", "joint", 0.71), ("model-b", "zero_shot", 0.52)]
    assert state["selectedColumns"][:3] == ["params.`variant`", "params.`recipe`", "metrics.`auroc/mean/temporal_2024`"]
    assert "metrics.`auroc/mortality/temporal_2024`" in state["selectedColumns"]


def test_the_experiment_links_its_comparisons(tracking: Tracking, client: MlflowClient, tmp_path: Path) -> None:
    materialize(tracking, tmp_path / "work")
    known = client.get_experiment_by_name("evaluate")
    assert known is not None
    lines = experiment_tags(client, "evaluate")[NOTE_TAG].splitlines()
    assert lines[-1].startswith("One run for each model on its tests")
    assert (
        "[AUROC on temporal_2024: which base, which recipe (tiny, synthetic data)](#/experiments/"
        f"{known.experiment_id}/runs?viewStateShareKey=tiny-auroc-temporal_2024&workflowType=machine_learning)" in lines
    )
    assert len([line for line in lines if line]) == 3 + 1
    # MLflow shows no more than the first line at first.
    assert lines[0].startswith("[AUROC on temporal_2024")


def test_profiles_share_an_experiment_and_keep_what_people_saved(
    tracking: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    materialize(tracking, tmp_path / "work")
    known = client.get_experiment_by_name("evaluate")
    assert known is not None
    own = json.dumps({"name": "Ours", "createdAt": 5, "updatedAt": 5, "state": "{}"})
    client.set_experiment_tag(known.experiment_id, VIEW_TAG + "own", own)
    client.set_experiment_tag(known.experiment_id, VIEW_TAG + "shared", "deflate;of an earlier MLflow")
    path = Path(tracking.tracking_uri.removeprefix("sqlite:///"))
    other = tracking_of(tmp_path, path, profile="hospital", is_synthetic=False, test_splits=["test"])
    materialize(other, tmp_path / "other")
    tags = experiment_tags(client, "evaluate")
    assert tags[VIEW_TAG + "own"] == own
    names = [line.split("](")[0] for line in tags[NOTE_TAG].splitlines() if line.startswith("[")]
    assert names == [
        "[AUROC on test: which base, which recipe (hospital)",
        "[Calibration error on test: which base, which recipe (hospital)",
        "[Ours",
        "[AUROC on temporal_2024: which base, which recipe (tiny, synthetic data)",
        "[AUROC on test: which base, which recipe (tiny, synthetic data)",
        "[Calibration error on temporal_2024: which base, which recipe (tiny, synthetic data)",
    ]


def test_more_tasks_than_a_tag_has_room_for_lose_columns_and_nothing_else(
    tracking: Tracking, client: MlflowClient, tmp_path: Path
) -> None:
    many = [f"own_task_of_this_hospital_{number}" for number in range(80)]
    path = Path(tracking.tracking_uri.removeprefix("sqlite:///"))
    splits = [f"test_{number}" for number in range(60)]
    materialize(tracking_of(tmp_path, path, tasks=many, test_splits=splits), tmp_path / "work")
    tags = experiment_tags(client, "evaluate")
    assert all(len(value) <= 5_000 for value in tags.values())
    _, state = view_of(client, "tiny-auroc-test_59")
    assert 10 < len(state["selectedColumns"]) < 80
    assert tags[NOTE_TAG].endswith("each closer look at one.")


def test_a_view_that_is_up_to_date_is_not_written_again(
    tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialize(tracking, tmp_path / "first")
    written: list[str] = []
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", lambda self, number, key, value: written.append(key))
    materialize(tracking, tmp_path / "second")
    assert written == []
