from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops import schemas
from lang1_assets.ops.evaluation import ScoringConfig, predict
from lang1_assets.ops.evaluation_record import PromptsUsed
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import build_prompts, read_examples
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.tasks import TASKS
from tests.ops.conftest import PROMPT_CONTEXT, SEED, SPLIT_SIZES

CONFIG = ScoringConfig(note_tokens=40, context_length=PROMPT_CONTEXT, max_examples=12, batch_size=5, seed=SEED)


def test_predictions_are_rows_of_the_schema_without_text(model_folder: Path, example_files: dict[str, Path]) -> None:
    said: list[str] = []
    frame = predict(model_folder, example_files, ["test", "temporal_2024"], CONFIG, said.append).predictions
    assert frame.columns == schemas.PREDICTIONS.names
    expected = pl.from_arrow(schemas.PREDICTIONS.empty_table())
    assert isinstance(expected, pl.DataFrame)
    assert frame.schema == expected.schema
    counts = {(task, split): n for task, split, n in frame.group_by("task", "split").len().iter_rows()}
    assert counts == {
        (task, split): min(12, SPLIT_SIZES[split]) for task in example_files for split in ("test", "temporal_2024")
    }
    for task, size in (("mortality", 2), ("length_of_stay", 4)):
        assert frame.filter(task=task)["probabilities"].list.len().unique().to_list() == [size]
    assert (frame["probabilities"].list.sum() - 1).abs().max() < 1e-9
    assert len(said) == 4
    texts = pl.concat([pl.read_parquet(file) for file in example_files.values()])["text"]
    assert not any(text in line for text in texts for line in said)


def test_predictions_belong_to_their_notes(model_folder: Path, example_files: dict[str, Path]) -> None:
    frame = predict(model_folder, {"mortality": example_files["mortality"]}, ["test"], CONFIG, print).predictions
    rows = read_examples(example_files["mortality"], "test", 12, SEED).sample(fraction=1, shuffle=True, seed=1)
    prompts = build_prompts(
        TASKS["mortality"], rows["text"].to_list(), rows["label"].to_list(), model_folder, 40, PROMPT_CONTEXT
    )
    expected = rows.select("note_id", "subject_id", "label").with_columns(
        alone=pl.Series(score_options(open_model(model_folder).eval(), prompts, batch_size=1)[:, 1])
    )
    both = frame.join(expected, on=["note_id", "subject_id", "label"], validate="1:1")
    assert len(both) == len(frame) == 12
    np.testing.assert_allclose(both["probabilities"].list.get(1), both["alone"], atol=1e-6)


def test_a_split_without_notes_is_left_out_and_none_at_all_is_an_error(
    model_folder: Path, example_files: dict[str, Path]
) -> None:
    frame = predict(model_folder, example_files, ["test", "temporal_2021"], CONFIG, print).predictions
    assert frame["split"].unique().to_list() == ["test"]
    with pytest.raises(ValueError, match="temporal_2021"):
        predict(model_folder, example_files, ["temporal_2021"], CONFIG, print)


def test_the_prompts_are_known_by_a_hash_that_their_order_and_length_change(
    model_folder: Path, example_files: dict[str, Path]
) -> None:
    def used(config: ScoringConfig) -> list[PromptsUsed]:
        return predict(model_folder, {"mortality": example_files["mortality"]}, ["test"], config, print).prompts

    (row,) = used(CONFIG)
    assert (row["task"], row["split"], row["num"]) == ("mortality", "test", 12)
    assert used(replace(CONFIG, batch_size=3)) == [row]
    assert used(replace(CONFIG, note_tokens=39))[0]["sha256"] != row["sha256"]
