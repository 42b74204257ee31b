"""Models from elsewhere through their assets, one of them behind a real server, and all of them on one leaderboard."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from lang1_assets.evaluation import compare, evaluate, leaderboard
from lang1_assets.ops.side_by_side import changed_numbers, read_evaluation
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
from tests.ops.served.conftest import llama_port  # noqa: F401

VARIANT = "lang1-tiny-notesplus-webtexts"
SPLIT = "temporal_2024"
NUM_NOTES = SPLIT_SIZES[SPLIT]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def settings(folder: Path, model_folder: Path, llama_port: int) -> Settings:  # noqa: F811
    server = f"url: 'http://127.0.0.1:{llama_port}/v1', name: tiny"
    (folder / "ours.yaml").write_text(
        "extends: tiny\nname: ours\nfinetune: {recipes: [joint], note_tokens: 40}\n"
        f"model: {{context_length: {PROMPT_CONTEXT}}}\nmemorization: {{prompt_tokens: 20, continuation_tokens: 20}}\n"
        "evaluate: {num_resamples: 40}\nmodels:\n"
        f"  copied: {{kind: folder, path: {model_folder}}}\n"
        "  shape: {kind: untrained, profile: tiny, max_examples: 9}\n"
        f"  down-the-hall: {{kind: completions, {server}, tokenizer: {model_folder}, max_concurrent: 2}}\n"
        f"  talker: {{kind: chat, {server}, num_samples: 3, max_examples: 4, greedy_examples: 5, max_concurrent: 2}}\n"
    )
    return load_settings(str(folder / "ours.yaml"))


@pytest.fixture(scope="module")
def resources(folder: Path, model_folder: Path, tokenizer_folder: Path) -> dict[str, Any]:  # noqa: F811
    store = ArtifactStore(root=str(folder / "artifacts"))

    def linked(source: Path, name: str) -> Any:
        def make(work: Path) -> dict[str, Any]:
            target = work / name if name else work
            target.mkdir(parents=True, exist_ok=True)
            for file in source.iterdir():
                (target / file.name).write_bytes(file.read_bytes())
            return {"trajectory": ["tokens-100"]}

        return make

    for task in TASKS:

        def write(work: Path, task: str = task) -> dict[str, Any]:
            synthetic_examples(task).write_parquet(work / "examples.parquet")
            return {"switched_off": ""}

        store.build(f"{task}_examples", write)
    store.build("hospital_exports", lambda work: {"synthetic": True})
    store.build("warehouse", lambda work: {"cohort_sql_sha256": dict.fromkeys(TASKS, "ab" * 32)})
    store.build("tokenizer", linked(tokenizer_folder, ""))
    store.build(f"pretrained_model/{VARIANT}", linked(model_folder, "trajectory/tokens-100"))
    tracking = Tracking(
        tracking_uri=f"sqlite:///{folder / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(folder / "mlflow"),
        dagster_url="http://127.0.0.1:3000",
    )
    return {"store": store, "tracking": tracking}


def made(settings: Settings, resources: dict[str, Any], stage: Any, name: str, key: str | None) -> Any:
    asset = next(item for item in stage.build_assets(settings) if item.key.to_user_string() == name)
    needed = {key: value for key, value in resources.items() if key in asset.required_resource_keys}
    return dg.materialize([asset], resources=needed, partition_key=key)


@pytest.fixture(scope="module")
def evaluated(settings: Settings, resources: dict[str, Any]) -> dict[str, Any]:
    results = {
        key: made(settings, resources, compare, asset, key) for key, asset in leaderboard.asset_of(settings).items()
    }
    results[VARIANT] = made(settings, resources, evaluate, "zero_shot_evaluation", VARIANT)
    return results


def artifact(resources: dict[str, Any], name: str) -> Any:
    return resources["store"].get(name)


def predictions(resources: dict[str, Any], name: str) -> pl.DataFrame:
    frame = pl.read_parquet(artifact(resources, name).path / "predictions.parquet")
    return frame.filter(split=SPLIT).sort("task", "note_id")


def test_a_folder_and_the_same_model_behind_a_server_get_the_same_probabilities(
    evaluated: dict[str, Any], resources: dict[str, Any]
) -> None:
    own, copied, served = (
        predictions(resources, name)
        for name in (f"zero_shot_evaluation/{VARIANT}", "outside_evaluation/copied", "served_evaluation/down-the-hall")
    )
    assert len(own) == len(TASKS) * NUM_NOTES
    assert copied.equals(own)
    assert served.drop("probabilities").equals(own.drop("probabilities"))
    difference = served["probabilities"].explode() - own["probabilities"].explode()
    # llama.cpp computes in its own order.
    assert difference.abs().max() < 1e-4


def test_fewer_notes_are_the_first_of_the_same_order(evaluated: dict[str, Any], resources: dict[str, Any]) -> None:
    all_notes = {
        (row[0], row[1]) for row in predictions(resources, "outside_evaluation/copied")["task", "note_id"].rows()
    }
    for name, sizes in (("outside_evaluation/shape", {9}), ("served_evaluation/talker", {4, 5})):
        frame = predictions(resources, name)
        assert set(frame.group_by("task").len()["len"]) == sizes
        assert set(frame["task", "note_id"].rows()) <= all_notes


def test_a_record_says_what_each_was_made_of_and_holds_no_text(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    records = {
        name: json.loads((artifact(resources, f"{asset}/{name}").path / "record.json").read_text())
        for name, asset in leaderboard.asset_of(settings).items()
    }
    own = json.loads((artifact(resources, f"zero_shot_evaluation/{VARIANT}").path / "record.json").read_text())
    # The same weights by another way.
    assert records["copied"]["model_sha256"] == own["model_sha256"] != records["shape"]["model_sha256"]
    assert records["copied"]["tasks"] == own["tasks"]
    assert own["tasks"]["mortality"]["cohort_sql_sha256"] == "ab" * 32
    sent = next(row for row in records["copied"]["prompts"] if row["task"] == "mortality")
    assert sent == next(row for row in own["prompts"] if (row["task"], row["split"]) == ("mortality", SPLIT))
    texts = [text for task in TASKS for text in synthetic_examples(task)["text"]]
    for name, asset in leaderboard.asset_of(settings).items():
        for file in artifact(resources, f"{asset}/{name}").path.glob("*.json"):
            assert not any(text in file.read_text() for text in texts)


def test_what_lies_there_is_enough_to_make_every_number_again(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    for name, asset in leaderboard.asset_of(settings).items():
        assert changed_numbers(read_evaluation(artifact(resources, f"{asset}/{name}").path)) == []


def ledger_of(folder: Path, name: str) -> bytes:
    (ledger,) = folder.rglob(f"{name}.jsonl")
    return ledger.read_bytes()


def test_nothing_is_paid_twice_when_the_code_is_new(
    evaluated: dict[str, Any],
    resources: dict[str, Any],
    settings: Settings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: predictions(resources, f"served_evaluation/{name}") for name in ("down-the-hall", "talker")}
    paid = {name: ledger_of(folder, name) for name in before}
    monkeypatch.setattr(compare, "CODE", [*compare.CODE, "lang1_assets.ops.checksums"])
    for name, frame in before.items():
        assert made(settings, resources, compare, "served_evaluation", name).success
        again = artifact(resources, f"served_evaluation/{name}")
        assert predictions(resources, again.name).equals(frame)
        answers = json.loads((again.path / "answers.json").read_text())
        assert ledger_of(folder, name) == paid[name]
        assert all(row["usage"]["num_from_ledger"] > 0 for row in answers)


def test_all_of_them_are_on_one_leaderboard(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    result = made(settings, resources, leaderboard, "leaderboard", None)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed, check.description
    entries = json.loads((artifact(resources, "leaderboard").path / "leaderboard.json").read_text())
    models = {*settings.models, VARIANT}
    by_task = {task: {entry["model"] for entry in entries if entry["task"] == task} for task in TASKS}
    # Four notes of the chat model need not have two classes.
    assert all(found | {"talker"} == models for found in by_task.values())
    assert {entry["model"] for entry in entries} == models
    shown = result.asset_materializations_for_node("leaderboard")[0].metadata["leaderboard"].value
    assert shown.startswith("Synthetic data")
    assert all(name in shown for name in models)
    answers = json.loads((artifact(resources, "served_evaluation/talker").path / "answers.json").read_text())
    expected = {row["task"]: row["num_invalid"] / row["num_answers"] for row in answers}
    assert {entry["task"]: entry["invalid_share"] for entry in entries if entry["model"] == "talker"} == {
        task: share
        for task, share in expected.items()
        if task in {e["task"] for e in entries if e["model"] == "talker"}
    }


def test_with_other_metrics_a_model_is_measured_again_and_not_scored_again(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    names = ("predictions/outside_evaluation/shape", "outside_evaluation/shape")
    before = {name: artifact(resources, name).created + artifact(resources, name).fingerprint for name in names}
    more = settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"num_resamples": 50})})
    assert made(more, resources, compare, "outside_evaluation", "shape").success
    after = {name: artifact(resources, name).created + artifact(resources, name).fingerprint for name in names}
    assert [before[name] == after[name] for name in names] == [True, False]


def test_an_evaluation_that_saw_other_labels_is_left_out_of_its_task_by_name(
    evaluated: dict[str, Any], resources: dict[str, Any], settings: Settings
) -> None:
    flipped = synthetic_examples("mortality").with_columns(label=1 - pl.col("label"))

    def write(work: Path) -> dict[str, Any]:
        flipped.write_parquet(work / "examples.parquet")
        return {"switched_off": ""}

    resources["store"].build("mortality_examples", write, parameters={"flipped": True})
    made(settings, resources, compare, "outside_evaluation", "copied")
    result = made(settings, resources, leaderboard, "leaderboard", None)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert f"zero_shot_evaluation/{VARIANT}: mortality" in str(check.description)
    entries = json.loads((artifact(resources, "leaderboard").path / "leaderboard.json").read_text())
    assert {entry["model"] for entry in entries if entry["task"] == "mortality"} == {"copied"}
    assert VARIANT in {entry["model"] for entry in entries if entry["task"] == "readmission"}
