"""Answer-question perplexity as an asset: a row a model and task, each model measured once, runs in MLflow."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lang1_assets.evaluation import perplexity
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from tests.ops.conftest import (  # noqa: F401
    PROMPT_CONTEXT,
    SPLIT_SIZES,
    model_folder,
    synthetic_examples,
    tokenizer_folder,
    vocab_size,
)

VARIANT = "lang1-tiny-notesplus-webtexts"
NUM_NOTES = 9
"""Fewer than the split has."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "ours.yaml").write_text(
        f"extends: tiny\nname: ours\nfinetune: {{note_tokens: 40}}\nmodel: {{context_length: {PROMPT_CONTEXT}}}\n"
        "memorization: {prompt_tokens: 20, continuation_tokens: 20}\n"
        f"evaluate: {{num_resamples: 40}}\nstudy: {{perplexity_notes: {NUM_NOTES}}}\n"
    )
    return load_settings(str(tmp_path / "ours.yaml"))


@pytest.fixture
def resources(tmp_path: Path, model_folder: Path) -> dict[str, Any]:  # noqa: F811
    store = ArtifactStore(root=str(tmp_path / "artifacts"))
    for task in TASKS:

        def write(work: Path, task: str = task) -> dict[str, Any]:
            synthetic_examples(task).write_parquet(work / "examples.parquet")
            return {"switched_off": "no claims" if task == "insurance_denial" else None}

        store.build(f"{task}_examples", write)
    base = store.build(f"pretrained_model/{VARIANT}", copied(model_folder, "trajectory/tokens-100"))
    for recipe in ("joint", "mortality"):
        store.build(f"finetuned_{recipe}/{VARIANT}", copied(model_folder, "model"), inputs=[base])
    tracking = Tracking(
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(tmp_path / "mlflow"),
        dagster_url="http://127.0.0.1:3000",
    )
    return {"store": store, "tracking": tracking}


def copied(folder: Path, name: str) -> Any:
    def make(work: Path) -> dict[str, Any]:
        shutil.copytree(folder, work / name)
        return {"trajectory": ["tokens-100"]}

    return make


def made(settings: Settings, resources: dict[str, Any]) -> dg.ExecuteInProcessResult:
    return dg.materialize(perplexity.build_assets(settings), resources=resources, partition_key=VARIANT)


def test_every_model_and_task_has_a_row(
    settings: Settings,
    resources: dict[str, Any],
    model_folder: Path,  # noqa: F811
) -> None:
    from mlflow import MlflowClient

    result = made(settings, resources)
    store = resources["store"]
    artifact = store.get(f"answer_perplexity/{VARIANT}")
    rows = json.loads((artifact.path / "rows.json").read_text())
    supplied = [task for task in TASKS if task != "insurance_denial"]
    expected = [*(("zero_shot", task) for task in supplied), *(("joint", task) for task in supplied)]
    assert [(row["mode"], row["task"]) for row in rows] == [*expected, ("mortality", "mortality")]
    for row in rows:
        assert (row["split"], row["n"]) == ("temporal_2024", NUM_NOTES)
        assert 1 < row["low"] <= row["perplexity"] <= row["high"]
        assert row["bits_per_byte"] > 0
    # The same weights under another name; and the check does not take that for a loss.
    assert rows[-1] == next(row for row in rows if row["task"] == "mortality") | {"mode": "mortality"}
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    shown = result.asset_materializations_for_node("answer_perplexity")[0].metadata["perplexity"].value
    said, table = shown.split("\n\n")
    assert said.startswith("Synthetic data")
    assert len(table.splitlines()) == 2 + len(rows)
    client = MlflowClient(resources["tracking"].tracking_uri)
    run = client.get_run(store.get(f"perplexities/{VARIANT}/joint").summary["mlflow_run_id"])
    assert run.data.metrics["perplexity/mortality/temporal_2024"] == pytest.approx(rows[-1]["perplexity"])

    before = {mode: store.get(f"perplexities/{VARIANT}/{mode}").created for mode in ("zero_shot", "joint")}
    base = store.get(f"pretrained_model/{VARIANT}")
    store.build(f"finetuned_readmission/{VARIANT}", copied(model_folder, "model"), inputs=[base])
    # One of a base that was there before is not of this one.
    store.build(f"finetuned_comorbidity/{VARIANT}", copied(model_folder, "model"))
    made(settings, resources)
    assert {mode: store.get(f"perplexities/{VARIANT}/{mode}").created for mode in before} == before
    again = json.loads((store.get(f"answer_perplexity/{VARIANT}").path / "rows.json").read_text())
    assert ("readmission", "readmission") in {(row["mode"], row["task"]) for row in again}
    assert len(again) == len(rows) + 1


def test_answers_that_are_less_likely_after_finetuning_are_named() -> None:
    rows = [
        {"mode": mode, "task": "mortality", "answer_perplexity": value}
        for mode, value in (("zero_shot", 3.0), ("joint", 1.2), ("mortality", 3.5))
    ]
    check = perplexity.answers_are_learned(rows)
    assert not check.passed
    assert check.description == "mortality on mortality: 3.50, before 3.00"
    assert perplexity.answers_are_learned(rows[:2]).passed


def test_an_encoder_is_refused_by_name(settings: Settings, resources: dict[str, Any]) -> None:
    variant = settings.variants[VARIANT].model_copy(update={"architecture": "encoder"})
    encoder = settings.model_copy(update={"variants": {VARIANT: variant}})
    with pytest.raises(dg.Failure, match=f"variant '{VARIANT}': it is an encoder"):
        made(encoder, resources)
