"""Which notes are learned from and looked at."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lang1_assets.ops.finetuning.config import FinetuneConfig, num_train_notes
from lang1_assets.ops.finetuning.notes import HeldOut, load_held_out, load_train
from lang1_assets.ops.finetuning.validation import validate
from lang1_assets.ops.model import open_model
from lang1_assets.ops.training.world import World
from tests.ops.finetuning.running import MAX_STEPS, learner


def test_validation_notes_of_two_classes_are_balanced_and_their_loss_is_not(
    config: dict[str, Any], example_files: dict[str, Path], model_folder: Path, one_rank: World, tmp_path: Path
) -> None:
    """Nine deaths of a hundred notes of the same words: all of them are among twenty, and the loss is that of all hundred."""
    rows = pl.read_parquet(example_files["mortality"]).filter(split="val").head(1)
    many = pl.concat([rows] * 100).with_row_index("n")
    many = many.with_columns(
        note_id=pl.lit("n") + pl.col("n").cast(pl.String), label=(pl.col("n") < 9).cast(rows.schema["label"])
    ).drop("n")
    path = tmp_path / "examples.parquet"
    many.write_parquet(path)
    rare = {**config, "examples": {"mortality": path}}

    def loss_of(num: int) -> tuple[HeldOut, float]:
        read = FinetuneConfig.from_json({**rare, "validation_examples": num})
        held = load_held_out(read, learner(rare))
        return held["mortality"], validate(open_model(model_folder), learner(rare), held, one_rank).loss

    few, estimated = loss_of(20)
    assert few.prompts.labels.sum() == 9
    assert few.weights.sum() == pytest.approx(100)
    every, exact = loss_of(100)
    assert every.weights.tolist() == [1.0] * 100
    assert estimated == pytest.approx(exact, rel=1e-5)


def test_no_more_notes_are_read_than_the_run_can_use(config: dict[str, Any]) -> None:
    read = FinetuneConfig.from_json(config)
    assert num_train_notes(read) == MAX_STEPS * 8 / 2
    few = FinetuneConfig.from_json({**config, "max_notes": 7, "validation_examples": 24})
    assert {task: len(prompts.ids) for task, prompts in load_train(few, learner(config)).items()} == {
        "mortality": 7,
        "length_of_stay": 7,
    }
    for task, file in read.examples.items():
        labels = pl.read_parquet(file).filter(split="val")["label"].to_numpy()
        assert load_held_out(few, learner(config))[task].prompts.labels.tolist() == labels.tolist()


def test_fewer_notes_are_a_subset_of_more(config: dict[str, Any]) -> None:
    def chosen(max_notes: int) -> set[tuple[int, ...]]:
        read = FinetuneConfig.from_json({**config, "max_notes": max_notes})
        prompts = load_train(read, learner(config))["mortality"]
        return {tuple(row.tolist()) for row in prompts.ids}

    assert chosen(3) < chosen(10) < chosen(1_000)
