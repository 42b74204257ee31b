"""Baselines through their asset: an evaluation like any other, on the leaderboard beside the models, made again to the digit."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.evaluation import baselines, leaderboard
from lang1_assets.ops.baselines import BASELINES
from lang1_assets.ops.side_by_side import changed_numbers, read_evaluation
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from tests.ops.baselines.planted import planted

NAMES = ("tfidf-logistic", "structured-trees")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baselines")


@pytest.fixture(scope="module")
def settings() -> Settings:
    tiny = load_settings("tiny")
    return tiny.model_copy(
        update={"evaluate": tiny.evaluate.model_copy(update={"num_resamples": 20, "max_examples": 50})}
    )


@pytest.fixture(scope="module")
def resources(folder: Path) -> dict[str, Any]:
    store = ArtifactStore(root=str(folder / "artifacts"))
    files, tables = planted(folder / "planted", tuple(TASKS))
    for task, file in files.items():

        def write(work: Path, file: Path = file) -> dict[str, Any]:
            (work / "examples.parquet").write_bytes(file.read_bytes())
            return {"switched_off": ""}

        store.build(f"{task}_examples", write)

    def write_warehouse(work: Path) -> dict[str, Any]:
        for file in tables.folder.iterdir():
            (work / file.name).write_bytes(file.read_bytes())
        return {"cohort_sql_sha256": dict.fromkeys(TASKS, "ab" * 32)}

    store.build("warehouse", write_warehouse)
    store.build("hospital_exports", lambda work: {"synthetic": True})
    tracking = Tracking(
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(folder / "mlflow"),
        dagster_url="http://127.0.0.1:3000",
    )
    return {"store": store, "tracking": tracking}


@pytest.fixture(scope="module")
def evaluated(settings: Settings, resources: dict[str, Any]) -> dict[str, Any]:
    (asset,) = baselines.build_assets(settings)
    return {name: dg.materialize([asset], resources=resources, partition_key=name) for name in NAMES}


def test_each_leaves_behind_what_every_evaluation_does(evaluated: dict[str, Any], resources: dict[str, Any]) -> None:
    for name, result in evaluated.items():
        assert all(check.passed for check in result.get_asset_check_evaluations() if "valid" in check.check_name)
        found = read_evaluation(resources["store"].get(f"baseline_evaluation/{name}").path)
        assert (found.record["kind"], found.record["mode"]) == ("baseline", "single_task")
        # A model a task: each row's was trained on its own.
        assert {(row["trained_on"], row["mode"]) for row in found.rows} == {(task, "finetuned") for task in TASKS}
        assert all(row["trained_on"] == row["task"] for row in found.rows)
        assert {row["task"] for row in found.record["fitted"]} == set(TASKS)
        assert set(found.record["fitted_with"]) == {"scikit-learn", "lightgbm", "scipy"}
        assert len(found.record["model_sha256"]) == 64
        assert changed_numbers(found) == []


def test_no_model_and_no_text_is_kept(evaluated: dict[str, Any], folder: Path) -> None:
    kept = [
        path for path in (folder / "artifacts").rglob("*") if path.is_file() and "baseline_evaluation" in path.parts
    ]
    named = {path.name for path in kept if path.suffix != ".lock"}
    records = {"artifact.json", "plan.json", "mlflow_run_id"}
    assert named - records == {"predictions.parquet", "rows.json", "record.json", "scoring.json"}
    words = [
        path for path in [*kept, *(folder / "mlflow").rglob("*")] if path.is_file() and b"sepsis" in path.read_bytes()
    ]
    assert words == []


def test_they_are_on_the_leaderboard_and_are_not_asked_for_prompts(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    (asset,) = leaderboard.build_assets(settings)
    result = dg.materialize([asset], resources={"store": resources["store"]})
    (check,) = result.get_asset_check_evaluations()
    assert check.passed, check.description
    entries = json.loads((resources["store"].get("leaderboard").path / "leaderboard.json").read_text())
    assert {(entry["model"], entry["kind"]) for entry in entries} == {(name, "baseline") for name in NAMES}
    # On the same notes: a paired test of one against the other.
    assert {entry["common"] for entry in entries if entry["below_best"] is not None} == {50}


def test_the_assets_are_those_that_there_are(settings: Settings) -> None:
    (asset,) = baselines.build_assets(settings)
    assert asset.partitions_def is not None
    assert tuple(asset.partitions_def.get_partition_keys()) == BASELINES


def test_other_classes_of_stays_are_another_evaluation(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    store, name = resources["store"], "baseline_evaluation/structured-trees"
    before = store.get(name)
    scored = pl.read_parquet(before.path / "predictions.parquet")
    cohorts = settings.cohorts.model_copy(update={"stay_classes": ("inpatient", "observation")})
    (asset,) = baselines.build_assets(settings.model_copy(update={"cohorts": cohorts}))
    assert dg.materialize([asset], resources=resources, partition_key="structured-trees").success
    after = store.get(name)
    assert after.fingerprint != before.fingerprint
    # Here every encounter is an inpatient stay.
    assert pl.read_parquet(after.path / "predictions.parquet").equals(scored)


def test_other_labels_are_learned_again(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    store = resources["store"]
    (asset,) = baselines.build_assets(settings)
    assert dg.materialize([asset], resources=resources, partition_key="structured-trees").success
    before = store.get("baseline_evaluation/structured-trees").fingerprint
    again = dg.materialize([asset], resources=resources, partition_key="structured-trees")
    assert again.success
    assert store.get("baseline_evaluation/structured-trees").fingerprint == before

    def flip(work: Path) -> dict[str, Any]:
        frame = pl.read_parquet(store.get("mortality_examples").path / "examples.parquet")
        frame.with_columns(label=1 - pl.col("label")).write_parquet(work / "examples.parquet")
        return {"switched_off": ""}

    store.build("mortality_examples", flip, parameters={"flipped": True})
    assert dg.materialize([asset], resources=resources, partition_key="structured-trees").success
    assert store.get("baseline_evaluation/structured-trees").fingerprint != before
