"""An encoder in the finetuning job: the same loop, a head of one task."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lang1_assets.ops.encoder.model import build_encoder
from lang1_assets.ops.evaluation import ScoringConfig, predict
from lang1_assets.ops.finetuning import loop, search
from lang1_assets.ops.finetuning.config import FinetuneConfig
from lang1_assets.ops.finetuning.encoder import Encoder
from lang1_assets.ops.finetuning.learner import learner_of
from lang1_assets.ops.finetuning.loop import finetune
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.model import save_model
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.config import TrainingConfig
from lang1_assets.ops.training.world import World
from tests.ops.conftest import PROMPT_CONTEXT, SEED, SHAPE
from tests.ops.launching import last_values, same_weights, summary_of
from tests.ops.pretraining.one_process import Never

MAX_STEPS = 8


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path, vocab_size: int) -> Path:
    folder = tmp_path_factory.mktemp("encoder") / "base"
    model = build_encoder(SHAPE, vocab_size, SEED)
    save_model(model, model.state_dict(), tokenizer_folder, folder)
    return folder


@pytest.fixture
def config(base: Path, example_files: dict[str, Path], config_of_training: TrainingConfig) -> dict[str, Any]:
    return {
        "base": base,
        "architecture": "encoder",
        "examples": {"length_of_stay": example_files["length_of_stay"]},
        "tokenizer_folder": base,
        "training": vars(config_of_training),
        "search": {"num_trials": 2, "max_steps": 2, "low": 1e-3, "high": 1e-2},
        "note_tokens": 40,
        "context_length": PROMPT_CONTEXT,
        "patience_steps": 100,
        "validation_examples": 20,
        "seed": SEED,
        "own_tasks": [],
    }


@pytest.fixture(scope="module")
def config_of_training() -> TrainingConfig:
    return TrainingConfig(
        global_batch_size=8,
        micro_batch_size=4,
        max_steps=MAX_STEPS,
        learning_rate=1e-3,
        min_learning_rate=0.0,
        warmup_steps=0,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.02,
        gradient_clipping=0.0,
        zero_stage=2,
        precision="fp32",
        compile=False,
        activation_checkpointing=False,
        validate_every_steps=2,
        save_every_steps=3,
        keep_last=2,
        log_every_steps=1,
    )


def run(config: dict[str, Any], work: Path, world: World) -> bool:
    work.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    with Reporter(work, world.rank) as reporter:
        return finetune(FinetuneConfig.from_json(config), work, world, reporter, Never())  # type: ignore[arg-type]


def test_the_best_model_is_anybody_s_classifier_and_scores_as_it_was_validated(
    config: dict[str, Any], tmp_path: Path, one_rank: World
) -> None:
    assert run(config, tmp_path / "work", one_rank)
    summary, folder = summary_of(tmp_path / "work"), tmp_path / "work" / "model"
    opened = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True)
    assert opened.config.num_labels == 4
    assert AutoTokenizer.from_pretrained(folder)("chest pain").input_ids[0] == 1
    scoring = ScoringConfig(
        note_tokens=40, context_length=PROMPT_CONTEXT, max_examples=20, batch_size=8, seed=config["seed"]
    )
    frame = predict(folder, config["examples"], ["val"], scoring, print).predictions
    found = auroc(frame["label"].to_numpy(), np.array(frame["probabilities"].to_list()))
    assert found.micro == pytest.approx(summary["best_val_micro_auroc"], abs=1e-6)
    values = last_values(tmp_path / "work")
    assert values[1, "train/loss"] == pytest.approx(np.log(4), abs=0.2)


def test_a_run_that_was_killed_gives_the_same_model(
    config: dict[str, Any], tmp_path: Path, one_rank: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    take_step, taken = loop.take_step, [0]

    def killed(*values: Any) -> Any:
        taken[0] += 1
        if taken[0] == 9:
            raise Killed
        return take_step(*values)

    assert run(config, tmp_path / "whole", one_rank)
    for module in (loop, search):
        monkeypatch.setattr(module, "take_step", killed)
    with pytest.raises(Killed):
        run(config, tmp_path / "killed", one_rank)
    for module in (loop, search):
        monkeypatch.setattr(module, "take_step", take_step)
    assert run(config, tmp_path / "killed", one_rank)
    assert same_weights(tmp_path / "killed" / "model", tmp_path / "whole" / "model")
    assert last_values(tmp_path / "killed") == last_values(tmp_path / "whole")
    shutil.rmtree(tmp_path / "killed")


def test_several_tasks_and_adapters_are_refused(config: dict[str, Any], example_files: dict[str, Path]) -> None:
    assert isinstance(learner_of(FinetuneConfig.from_json(config)), Encoder)
    with pytest.raises(ValueError, match="a head for one task, and this recipe has 2: mortality, length_of_stay"):
        learner_of(FinetuneConfig.from_json({**config, "examples": example_files}))
    lora = {"rank": 2, "alpha": 2, "dropout": 0.0, "modules": ["query"]}
    with pytest.raises(ValueError, match="adapters are for decoders"):
        learner_of(FinetuneConfig.from_json({**config, "lora": lora}))
