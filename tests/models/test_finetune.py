"""Finetuning as assets: any Hugging Face folder as a base, adapters by profile, what MLflow is told, all scales of notes."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.models import Model
from safetensors.torch import load_file

from lang1_assets.evaluation import evaluate, scale
from lang1_assets.models import finetune, pretrain
from lang1_assets.ops.tasks import TASKS
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.store import ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import Settings, load_settings
from tests.models.in_process_launcher import InProcessLauncher, use_world
from tests.ops.conftest import (  # noqa: F401
    PROMPT_CONTEXT,
    model_folder,
    one_rank,
    process_group,
    synthetic_examples,
    tokenizer_folder,
    vocab_size,
)

FOLDER, RANDOM, ADAPTED = "from-elsewhere", "random", "adapted"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finetune")


@pytest.fixture(scope="module")
def settings(home: Path, model_folder: Path) -> Settings:  # noqa: F811
    (home / "ours.yaml").write_text(
        "extends: tiny\nname: ours\nelsewhere: null\n"
        f"model: {{context_length: {PROMPT_CONTEXT}, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1}}\n"
        "finetune: {note_tokens: 40, max_steps: 4, warmup_steps: 0, validate_every_steps: 2, validation_examples: 20,"
        " log_every_steps: 2, save_every_steps: 2, search: {num_trials: 2, max_steps: 1}}\n"
        "memorization: {prompt_tokens: 20, continuation_tokens: 20}\nevaluate: {num_resamples: 20, transfer: false}\n"
        "study: {num_notes: [4, 12], scaled_task: mortality}\n"
        f"variants:\n  {FOLDER}: {{folder: {model_folder}}}\n  {RANDOM}: {{random_weights: true}}\n"
        f"  {ADAPTED}: {{folder: {model_folder}, lora: {{rank: 2, alpha: 4}}}}\n"
    )
    return load_settings(str(home / "ours.yaml"))


@pytest.fixture(scope="module")
def resources(home: Path, tokenizer_folder: Path, vocab_size: int, one_rank: Any) -> dict[str, Any]:  # noqa: F811
    use_world(one_rank)
    store = ArtifactStore(root=str(home / "artifacts"))

    def write(task: str) -> Any:
        def make(work: Path) -> dict[str, Any]:
            synthetic_examples(task).write_parquet(work / "examples.parquet")
            return {"switched_off": ""}

        return make

    def write_tokenizer(work: Path) -> dict[str, Any]:
        for file in tokenizer_folder.iterdir():
            (work / file.name).write_bytes(file.read_bytes())
        return {"vocab_size": vocab_size}

    for task in TASKS:
        store.build(f"{task}_examples", write(task))
    store.build("tokenizer", write_tokenizer)
    store.build("web_text_source", lambda work: {})
    store.build("hospital_exports", lambda work: {"synthetic": True})
    store.build("warehouse", lambda work: {"cohort_sql_sha256": dict.fromkeys(TASKS, "ab" * 32)})
    tracking = Tracking(
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(home / "mlflow"),
        dagster_url="http://127.0.0.1:3000",
    )
    return {"store": store, "tracking": tracking, "launcher": InProcessLauncher(), "alerts": Alerts()}


def made(settings: Settings, resources: dict[str, Any], stage: Any, name: str, key: str) -> Any:
    asset = next(item for item in stage.build_assets(settings) if item.key.to_user_string() == name)
    needed = {key: value for key, value in resources.items() if key in asset.required_resource_keys}
    return dg.materialize([asset], resources=needed, partition_key=key)


@pytest.fixture(scope="module")
def bases(settings: Settings, resources: dict[str, Any]) -> ArtifactStore:
    for key in settings.variants:
        assert made(settings, resources, pretrain, "pretrained_model", key).success
    store: ArtifactStore = resources["store"]
    return store


def test_a_folder_is_a_base_like_any_other(settings: Settings, bases: ArtifactStore, model_folder: Path) -> None:  # noqa: F811
    artifact = bases.get(f"pretrained_model/{FOLDER}")
    (name,) = artifact.summary["trajectory"]
    copied = artifact.path / "trajectory" / name
    assert {file.name for file in copied.iterdir()} == {file.name for file in model_folder.iterdir()}
    assert artifact.summary["tokens"] is None
    assert artifact.summary["num_parameters"] > 0


def test_a_folder_that_is_gone_is_named(settings: Settings, resources: dict[str, Any], tmp_path: Path) -> None:
    gone = settings.variants[FOLDER].model_copy(update={"folder": tmp_path / "gone"})
    changed = settings.model_copy(update={"variants": {**settings.variants, FOLDER: gone}})
    with pytest.raises(dg.Failure, match="gone: not a folder"):
        made(changed, resources, pretrain, "pretrained_model", FOLDER)


@pytest.fixture(scope="module")
def joint(settings: Settings, resources: dict[str, Any], bases: ArtifactStore) -> Any:
    return made(settings, resources, finetune, "finetuned_joint", FOLDER)


def test_the_joint_run_has_the_steps_of_five_tasks(joint: Any, bases: ArtifactStore) -> None:
    assert joint.success
    summary = bases.get(f"finetuned_joint/{FOLDER}").summary
    assert summary["max_steps"] == 5 * 4
    assert set(summary["train_notes"]) == set(TASKS)
    assert summary["pretrain_tokens"] is None
    assert set(summary["best_val_auroc"]) == set(TASKS)
    (check,) = joint.get_asset_check_evaluations()
    mean = sum(summary["best_val_auroc"].values()) / len(TASKS)
    assert check.metadata["mean_validation_auroc"].value == pytest.approx(mean)
    assert check.passed == (mean > 0.5)
    assert summary["tokens_seen"] > summary["examples_seen"]


def test_trials_are_runs_under_the_run_and_the_version_says_what_it_was_made_from(
    joint: Any, settings: Settings, resources: dict[str, Any], bases: ArtifactStore
) -> None:
    client, artifact = MlflowClient(resources["tracking"].tracking_uri), bases.get(f"finetuned_joint/{FOLDER}")
    run = client.get_run(artifact.summary["mlflow_run_id"])
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'", order_by=["attributes.start_time"]
    )
    trials = json.loads((artifact.path / "search.json").read_text())
    assert [float(child.data.params["training.learning_rate"]) for child in children] == pytest.approx(
        [trial["learning_rate"] for trial in trials]
    )
    assert [child.data.metrics["val/loss"] for child in children] == [trial["val_loss"] for trial in trials]
    (version,) = client.search_model_versions("name = 'ours-joint'")
    assert version.run_id == run.info.run_id
    assert {"variant": FOLDER, "recipe": "joint"}.items() <= version.tags.items()
    assert f"dataset/{'mortality_examples'}" in version.tags
    assert client.get_model_version_by_alias("ours-joint", "candidate").version == version.version
    signature = Model.load(str(Path(version.source) / "MLmodel")).signature
    assert [column.name for column in signature.inputs] == ["note"]
    datasets = {held.dataset.name for held in run.inputs.dataset_inputs}
    assert {f"pretrained_model/{FOLDER}", "mortality_examples"} <= datasets


def test_adapters_are_those_of_the_variant(settings: Settings, resources: dict[str, Any], bases: ArtifactStore) -> None:
    for key in (FOLDER, ADAPTED):
        assert made(settings, resources, finetune, "finetuned_mortality", key).success
    adapted, whole = (bases.get(f"finetuned_mortality/{key}") for key in (ADAPTED, FOLDER))
    assert (adapted.path / "adapter" / "adapter_config.json").exists()
    assert not (whole.path / "adapter").exists()
    assert adapted.summary["num_trained_parameters"] < whole.summary["num_trained_parameters"] / 5
    weights = [load_file(item.path / "model" / "model.safetensors") for item in (adapted, whole)]
    assert weights[0].keys() == weights[1].keys()


def test_the_same_settings_are_trained_once(
    joint: Any, settings: Settings, resources: dict[str, Any], bases: ArtifactStore
) -> None:
    before = bases.get(f"finetuned_joint/{FOLDER}")
    again = made(settings, resources, finetune, "finetuned_joint", FOLDER)
    assert again.success
    assert bases.get(f"finetuned_joint/{FOLDER}").created == before.created


def test_each_number_of_notes_is_finetuned_and_scored(
    settings: Settings, resources: dict[str, Any], bases: ArtifactStore
) -> None:
    assert made(settings, resources, scale, "scaled_model", RANDOM).success
    assert made(settings, resources, scale, "scaled_evaluation", RANDOM).success
    (checkpoint,) = bases.get(f"pretrained_model/{RANDOM}").summary["trajectory"]
    found = {
        notes: bases.get(f"scaled_evaluation/{RANDOM}/{checkpoint}/{notes}").summary for notes in ("4", "12", "all")
    }
    # Of all notes as many as a run of 4 steps of 4 can read.
    assert {notes: summary["num_notes"] for notes, summary in found.items()} == {"4": 4, "12": 12, "all": 16}
    assert all(summary["pretrain_tokens"] == 0 for summary in found.values())
    assert found["4"]["finetune_tokens"] > 0
    rows = json.loads((bases.path(f"scaled_evaluation/{RANDOM}/{checkpoint}/4") / "rows.json").read_text())
    assert {(row["task"], row["split"]) for row in rows} == {("mortality", "temporal_2024")}


def test_of_a_folder_nobody_knows_the_tokens(
    settings: Settings, resources: dict[str, Any], bases: ArtifactStore
) -> None:
    """They are not 0 in either table."""
    for name, label in (("scaled_model", "models"), ("scaled_evaluation", "auroc")):
        done = made(settings, resources, scale, name, FOLDER)
        table = done.asset_materializations_for_node(name)[0].metadata[label].value
        assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| unknown"] * 3


def test_a_folder_is_scored_with_its_own_tokenizer(
    settings: Settings, resources: dict[str, Any], bases: ArtifactStore
) -> None:
    assert made(settings, resources, evaluate, "zero_shot_evaluation", FOLDER).success
    predictions = pl.read_parquet(bases.path(f"zero_shot_evaluation/{FOLDER}") / "predictions.parquet")
    assert set(predictions["task"]) == set(TASKS)
