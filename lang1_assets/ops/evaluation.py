"""A model on the benchmark: probabilities for every note of the test splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from lang1_assets.ops import schemas
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import build_prompts, read_examples
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How notes are scored; `settings.Evaluate` and `settings.Finetune` say what each field means."""

    note_tokens: int
    context_length: int
    max_examples: int
    batch_size: int
    seed: int


def predict(
    model_folder: Path,
    examples: dict[str, Path],
    splits: Sequence[str],
    config: ScoringConfig,
    on_progress: Callable[[str], None],
) -> pl.DataFrame:
    """Rows of `schemas.PREDICTIONS` for each task's examples file and each split."""
    model = load_for_scoring(model_folder)
    frames = []
    for task, path in examples.items():
        for split in splits:
            rows = read_examples(path, split, config.max_examples, config.seed)
            if rows.is_empty():
                continue
            frames.append(predict_rows(model, model_folder, task, split, rows, config))
            on_progress(f"scored {len(rows)} notes of {task}, {split}")
    if not frames:
        raise ValueError(f"no example in splits {list(splits)} of {[str(path) for path in examples.values()]}")
    return pl.concat(frames)


def predict_rows(
    model: Any, model_folder: Path, task: str, split: str, rows: pl.DataFrame, config: ScoringConfig
) -> pl.DataFrame:
    prompts = build_prompts(
        TASKS[task],
        rows["text"].to_list(),
        rows["label"].to_list(),
        model_folder,
        config.note_tokens,
        config.context_length,
    )
    probabilities = score_options(model, prompts, config.batch_size)
    columns = rows.select(
        "note_id",
        "subject_id",
        pl.lit(task).alias("task"),
        pl.lit(split).alias("split"),
        pl.col("label").cast(pl.Int32),
    )
    return columns.with_columns(pl.Series("probabilities", probabilities.tolist(), dtype=pl.List(pl.Float64))).select(
        schemas.PREDICTIONS.names
    )


def load_for_scoring(folder: Path) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return open_model(folder).eval().to(device)
