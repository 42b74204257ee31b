"""An encoder among the variants: what its job is given, and where a run says that it has no answer (Fig. D4)."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from transformers import AutoModelForMaskedLM

from lang1_assets.corpus.supplied import require_decoder
from lang1_assets.evaluation import evaluate
from lang1_assets.models import finetune, pretrain
from lang1_assets.models.untrained import write_random_model
from lang1_assets.resources.alerts import Alerts
from lang1_assets.resources.launcher import TrainingLauncher
from lang1_assets.resources.store import Artifact, ArtifactError, ArtifactStore
from lang1_assets.resources.tracking import Tracking
from lang1_assets.settings import PROFILE_FOLDER, Settings, load_settings
from lang1_assets.settings.study import Study
from lang1_assets.studies import memorize, trajectory
from tests.ops.pretraining.one_process import read_config

VOCAB_SIZE = 50


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"extends: {PROFILE_FOLDER}/tiny.yaml\nname: mine\nstudy: null\nevaluate: {{transfer: true}}\nvariants:\n"
        "  dec: {mixture: {notes: 1}}\n"
        "  enc: {mixture: {notes: 1}, architecture: encoder, model: {num_hidden_layers: 2}}\n"
    )
    return load_settings(str(path))


def job_config(settings: Settings, key: str, folder: Path) -> dict[str, Any]:
    tokens = Artifact(name="tokenizer", path=folder, fingerprint="f", summary={"vocab_size": VOCAB_SIZE})
    return pretrain.job_config(settings, key, {}, tokens)


def test_the_job_of_an_encoder_masks_and_is_not_monitored(settings: Settings, tmp_path: Path) -> None:
    config = job_config(settings, "enc", tmp_path)
    store = ArtifactStore(root=str(tmp_path))
    assert settings.pretrain.monitor_every_steps is not None
    assert pretrain.monitoring(settings, "enc", store) is None
    read = read_config({**config, "monitoring": None})
    assert (read.objective, read.shape.num_hidden_layers) == ("masked_token", 2)
    assert job_config(settings, "dec", tmp_path)["objective"] == "next_token"
    # A decoder is looked at: here, nothing that it is looked at with was made yet.
    with pytest.raises(ArtifactError, match="web_text_source"):
        pretrain.monitoring(settings, "dec", store)


def test_random_weights_of_an_encoder_are_a_masked_language_model(settings: Settings, tmp_path: Path) -> None:
    summary = write_random_model(job_config(settings, "enc", tmp_path), tmp_path / "work")
    (name,) = summary["trajectory"]
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "work" / "trajectory" / name, use_safetensors=True)
    assert model.num_parameters() == summary["num_parameters"]
    assert model.config.vocab_size == VOCAB_SIZE + 1


def materialize(asset: dg.AssetsDefinition, key: str, tmp_path: Path) -> None:
    """In a store that is empty."""
    tracking = Tracking(
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",
        ui_url="http://127.0.0.1:5000",
        artifact_root=str(tmp_path / "mlflow"),
        dagster_url="http://127.0.0.1:3000",
    )
    resources = {
        "store": ArtifactStore(root=str(tmp_path / "artifacts")),
        "tracking": tracking,
        "launcher": TrainingLauncher(),
        "alerts": Alerts(),
    }
    needed = {name: resource for name, resource in resources.items() if name in asset.required_resource_keys}
    dg.materialize([asset], resources=needed, partition_key=key)


@pytest.mark.parametrize(
    ("asset", "what"),
    [
        (lambda settings: evaluate.evaluation(settings, "zero_shot"), "zero-shot evaluation"),
        (lambda settings: evaluate.evaluation(settings, "joint"), "joint finetuning"),
        (lambda settings: finetune.finetuned(settings, "joint"), "joint finetuning"),
        (trajectory.trajectory_evaluation, "evaluation along the trajectory"),
        (memorize.memorization, "measure of what is memorized"),
    ],
)
def test_what_an_encoder_has_no_answer_to_fails_at_once_and_says_why(
    settings: Settings, tmp_path: Path, asset: Any, what: str
) -> None:
    with pytest.raises(dg.Failure, match=f"No {what} of variant 'enc': it is an encoder") as error:
        materialize(asset(settings), "enc", tmp_path)
    assert error.value.allow_retries is False


def test_of_a_decoder_everything_can_be_asked(settings: Settings, tmp_path: Path) -> None:
    require_decoder(settings, "dec", "zero-shot evaluation")
    # It gets as far as looking for its model.
    with pytest.raises(ArtifactError, match="not there yet"):
        materialize(evaluate.evaluation(settings, "zero_shot"), "dec", tmp_path)


def test_an_encoder_is_scored_on_its_own_task_alone(settings: Settings) -> None:
    tasks = evaluate.tasks_scored(settings, "readmission")
    assert len(tasks) == 5
    assert evaluate.tasks_of_variant(settings, "enc", "readmission", tasks) == ("readmission",)
    assert evaluate.tasks_of_variant(settings, "dec", "readmission", tasks) == tasks


def test_a_variant_without_a_joint_model_is_scored_on_its_own_task_alone(settings: Settings) -> None:
    """Fig. 5a compares single models with the joint one."""
    ablated = settings.model_copy(update={"study": Study(finetuned={"other": ("readmission",)})})
    tasks = evaluate.tasks_scored(ablated, "readmission")
    assert evaluate.tasks_of_variant(ablated, "dec", "readmission", tasks) == tasks
    (other,) = {*ablated.study.finetuned}
    variants = ablated.variants | {other: ablated.variants["dec"]}
    ablated = ablated.model_copy(update={"variants": variants})
    assert evaluate.tasks_of_variant(ablated, other, "readmission", tasks) == ("readmission",)
    assert evaluate.tasks_of_variant(ablated, other, "zero_shot", tasks) == tasks
