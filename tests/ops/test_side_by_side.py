import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops.results import result_rows
from lang1_assets.ops.side_by_side import (
    EvaluationError,
    LeftBehind,
    changed_numbers,
    compare,
    disagreements,
    read_evaluation,
    what_differs,
)
from tests.ops.test_leaderboard import SPLIT, predictions


def leave(folder: Path, frame: pl.DataFrame, **fields: Any) -> Path:
    folder.mkdir()
    frame.write_parquet(folder / "predictions.parquet")
    rows = result_rows(frame, model="m", mode="zero_shot", trained_on=None, num_resamples=100, seed=3)
    (folder / "rows.json").write_text(json.dumps(rows))
    record = {"name": "m", "mode": "zero_shot", "parameters": {"num_resamples": 100, "seed": 3}, **fields}
    (folder / "record.json").write_text(json.dumps(record))
    return folder


def test_every_number_follows_from_the_probabilities(tmp_path: Path) -> None:
    evaluation = read_evaluation(leave(tmp_path / "one", predictions(0.7, 200)))
    assert len(evaluation.rows) > 5
    assert changed_numbers(evaluation) == []


def test_a_number_that_was_written_by_hand_is_found(tmp_path: Path) -> None:
    folder = leave(tmp_path / "one", predictions(0.7, 200))
    rows = json.loads((folder / "rows.json").read_text())
    rows[0]["value"] += 0.01
    (folder / "rows.json").write_text(json.dumps(rows))
    (found,) = changed_numbers(read_evaluation(folder))
    assert found.startswith(f"mortality, {SPLIT}, auroc: value is")


def test_two_models_are_compared_note_by_note(tmp_path: Path) -> None:
    frames = [predictions(0.3, 300, seed=1), predictions(1.0, 280, first=20, seed=2)]
    first, second = (read_evaluation(leave(tmp_path / str(n), frame)) for n, frame in enumerate(frames))
    (found,) = compare(first, second, num_resamples=200, seed=1)
    assert (found.task, found.split, found.common, found.only_first, found.only_second) == (
        "mortality", SPLIT, 280, 20, 0,
    )  # fmt: skip
    assert found.auroc is not None
    assert 0 < found.auroc.low < found.auroc.value < found.auroc.high
    assert found.delong_p_value is not None
    assert found.delong_p_value < 0.01
    table = disagreements(first, second, "mortality", SPLIT)
    assert len(table) == 280
    assert (np.diff(np.abs(table["difference"].to_numpy())) <= 0).all()
    one = table.row(0, named=True)
    own = frames[1].filter(note_id=one["note_id"]).row(0, named=True)
    assert one["second"] == own["probabilities"][own["label"]]


def test_what_cannot_be_compared_is_said_and_the_rest_is_compared(tmp_path: Path) -> None:
    one_positive = predictions(0.5, 60, task="insurance_denial").with_columns(
        label=pl.when(pl.col("note_id") == "n7").then(1).otherwise(0).cast(pl.Int32)
    )
    other_labels = predictions(0.5, 60, task="readmission")
    tasks = [predictions(0.3, 50), one_positive, other_labels, predictions(0.3, 50, task="length_of_stay")]
    changed = other_labels.with_columns(label=1 - pl.col("label"))
    apart = predictions(0.3, 50, task="length_of_stay", first=50)
    first = read_evaluation(leave(tmp_path / "1", pl.concat(tasks[:3])))
    second = read_evaluation(leave(tmp_path / "2", pl.concat([tasks[0], one_positive, changed])))
    found = {row.task: row for row in compare(first, second, num_resamples=100, seed=1)}
    assert found["mortality"].auroc is not None
    assert found["insurance_denial"].auroc is not None
    assert found["insurance_denial"].delong_p_value is None
    assert found["readmission"].auroc is None
    assert "different versions of the task" in str(found["readmission"].problem)
    without = [LeftBehind(folder=tmp_path, predictions=frame, rows=[], record={}) for frame in (tasks[3], apart)]
    (row,) = compare(without[0], without[1], num_resamples=100, seed=1)
    assert (row.auroc, row.common, row.only_first, row.only_second) == (None, 0, 50, 50)
    assert "0 notes in common" in str(row.problem)


def test_what_differs_is_named_and_nothing_else() -> None:
    prompts = [{"task": "mortality", "split": "test", "num": 3, "sha256": "a" * 64}]
    first = {"name": "a", "model_sha256": "1", "prompts": prompts, "tasks": {"mortality": {"version": 1}}}
    second = {**first, "name": "b", "prompts": [{**prompts[0], "sha256": "b" * 64}], "tasks": {}}
    assert what_differs(first, first | {"name": "b"}) == []
    assert what_differs(first, second) == [
        f"prompts.mortality.test: 3 prompts {'a' * 12}, 3 prompts {'b' * 12}",
        "tasks.mortality.version: 1, -",
    ]


def test_a_folder_without_an_evaluation_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=rf"{tmp_path}: expected predictions.parquet"):
        read_evaluation(tmp_path)
    folder = leave(tmp_path / "cut", predictions(0.7, 50))
    (folder / "predictions.parquet").write_bytes((folder / "predictions.parquet").read_bytes()[:100])
    with pytest.raises(EvaluationError, match="of an evaluation"):
        read_evaluation(folder)
