"""Probabilities of an encoder are those that transformers alone gives, a note at a time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lang1_assets.ops import schemas
from lang1_assets.ops.encoder.classification import EncoderError, open_classifier
from lang1_assets.ops.evaluation import ScoringConfig, predict
from lang1_assets.ops.model import save_model
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import PROMPT_CONTEXT, SEED, SPLIT_SIZES

CONFIG = ScoringConfig(note_tokens=40, context_length=PROMPT_CONTEXT, max_examples=100, batch_size=5, seed=SEED)
SPLITS = ["test", "temporal_2024"]


@pytest.fixture(scope="module", params=["mortality", "length_of_stay"])
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(task: str, encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = open_classifier(encoder_folder, TASKS[task].num_classes, SEED)
    with torch.no_grad():
        model.classifier.weight.mul_(50)
    folder = tmp_path_factory.mktemp(task) / "model"
    save_model(model, model.state_dict(), encoder_folder, folder)
    return folder


def alone(folder: Path, texts: list[str]) -> np.ndarray:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(text).input_ids[:41]])).logits[0]
        rows.append(torch.softmax(logits, dim=-1).numpy())
    return np.stack(rows)


def test_probabilities_are_those_of_transformers(task: str, folder: Path, example_files: dict[str, Path]) -> None:
    said: list[str] = []
    scored = predict(folder, {task: example_files[task]}, SPLITS, CONFIG, said.append)
    frame = scored.predictions
    assert frame.columns == schemas.PREDICTIONS.names
    assert frame["split"].value_counts().sort("split").rows() == [(s, SPLIT_SIZES[s]) for s in sorted(SPLITS)]
    examples = pl.read_parquet(example_files[task]).select("note_id", "text", truth="label")
    both = frame.join(examples, on="note_id", validate="1:1")
    assert both["label"].to_list() == both["truth"].to_list()
    ours = np.array(both["probabilities"].to_list())
    assert ours.std(axis=0).max() > 1e-3
    np.testing.assert_allclose(ours, alone(folder, both["text"].to_list()), atol=1e-5)
    assert [(used["task"], used["split"], used["num"]) for used in scored.prompts] == [
        (task, split, SPLIT_SIZES[split]) for split in SPLITS
    ]
    assert not any(text in line for text in examples["text"] for line in said)


def test_the_batch_size_changes_nothing(task: str, folder: Path, example_files: dict[str, Path]) -> None:
    few, many = (
        predict(folder, {task: example_files[task]}, SPLITS, replace(CONFIG, batch_size=size), print).predictions
        for size in (1, 64)
    )
    assert few.drop("probabilities").equals(many.drop("probabilities"))
    ours, theirs = (np.array(frame["probabilities"].to_list()) for frame in (few, many))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_what_an_encoder_cannot_answer_is_said(
    task: str, folder: Path, encoder_folder: Path, example_files: dict[str, Path]
) -> None:
    one = {task: example_files[task]}
    with pytest.raises(EncoderError, match="no zero-shot; finetune it first"):
        predict(encoder_folder, one, SPLITS, CONFIG, print)
    with pytest.raises(EncoderError, match="asked for mortality, length_of_stay"):
        predict(folder, example_files, SPLITS, CONFIG, print)
    (other,) = set(example_files) - set(one)
    with pytest.raises(EncoderError, match=f"its head has {TASKS[task].num_classes} classes and the task"):
        predict(folder, {other: example_files[other]}, SPLITS, CONFIG, print)
    with pytest.raises(ValueError, match="temporal_2021"):
        predict(folder, one, ["temporal_2021"], CONFIG, print)
