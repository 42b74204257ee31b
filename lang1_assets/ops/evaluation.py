"""A model on the benchmark: probabilities for every note of the test splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from lang1_assets.ops import schemas
from lang1_assets.ops.encoder.model import is_encoder
from lang1_assets.ops.evaluation_record import PromptsUsed, prompts_used
from lang1_assets.ops.gpu_room import require_room
from lang1_assets.ops.model import open_model
from lang1_assets.ops.prompts import build_prompts, read_examples
from lang1_assets.ops.scoring import on_every_device, score_together, scoring_precision
from lang1_assets.ops.tasks import TASKS, Task


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """How notes are scored; `settings.Evaluate` and `settings.Finetune` say what each field means."""

    note_tokens: int
    context_length: int
    max_examples: int
    batch_size: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one model made of its prompts."""

    predictions: pl.DataFrame
    """Rows of `schemas.PREDICTIONS`."""
    prompts: list[PromptsUsed]


def together(parts: Sequence[Scored]) -> Scored:
    """What one model made of several sets of prompts, as one."""
    return Scored(
        predictions=pl.concat([part.predictions for part in parts]),
        prompts=[used for part in parts for used in part.prompts],
    )


def predict(
    model_folder: Path,
    examples: dict[str, Path],
    splits: Sequence[str],
    config: ScoringConfig,
    on_progress: Callable[[str], None],
) -> Scored:
    """A Hugging Face folder, of a decoder or of a finetuned encoder, on each task's examples file and each split.

    Raises:
        ValueError: no file has a note in any of the splits, or the model is larger than a GPU.
    """
    if is_encoder(model_folder):
        # Here, because it is made of what this module has.
        from lang1_assets.ops.encoder.scoring import predict_encoder

        return predict_encoder(model_folder, examples, splits, config, on_progress)
    # In the precision that it is scored in; where it is scored, `predict_with` decides.
    model = open_to_score(model_folder, scoring_precision())
    return predict_with(model, model_folder, examples, splits, config, on_progress)


def predict_with(
    model: Any,
    tokenizer_folder: Path,
    examples: dict[str, Path],
    splits: Sequence[str],
    config: ScoringConfig,
    on_progress: Callable[[str], None],
) -> Scored:
    """As `predict`, with a model that is open already."""
    models = on_every_device(model)
    frames, used = [], []
    found = notes_to_score(examples, splits, dict.fromkeys(examples, config.max_examples), config.seed)
    # All tasks of a split together: several ask about the same note, which is then read once.
    for split, of_split in groupby(found, key=itemgetter(1)):
        asked = []
        for task, _, rows in of_split:
            texts, labels = rows["text"].to_list(), rows["label"].to_list()
            prompts = build_prompts(task, texts, labels, tokenizer_folder, config.note_tokens, config.context_length)
            asked.append((task, rows.drop("text"), prompts))
        scored = score_together(models, [prompts for _, _, prompts in asked], config.batch_size)
        for (task, rows, prompts), probabilities in zip(asked, scored, strict=True):
            frames.append(prediction_rows(task, split, rows, probabilities))
            used.append(prompts_used(task.name, split, [row.astype("<i8").tobytes() for row in prompts.ids]))
            on_progress(f"scored {len(rows)} notes of {task.name}, {split}")
    return Scored(predictions=pl.concat(frames), prompts=used)


def notes_to_score(
    examples: dict[str, Path], splits: Sequence[str], max_examples: Mapping[str, int], seed: int
) -> Iterator[tuple[Task, str, pl.DataFrame]]:
    """(task, split, rows of `schemas.EXAMPLES`), one split after the other; those without a note are left out.

    Raises:
        ValueError: nothing is left.
    """
    num_rows = 0
    for split in splits:
        for name, path in examples.items():
            rows = read_examples(path, split, max_examples[name], seed)
            num_rows += len(rows)
            if not rows.is_empty():
                yield TASKS[name], split, rows
    if num_rows == 0:
        raise ValueError(f"no example in splits {list(splits)} of {[str(path) for path in examples.values()]}")


def prediction_rows(task: Task, split: str, rows: pl.DataFrame, probabilities: NDArray[np.float64]) -> pl.DataFrame:
    """Rows of `schemas.PREDICTIONS` from those of the examples and their probabilities, (num_rows, num_options)."""
    columns = rows.select(
        "note_id",
        "subject_id",
        pl.lit(task.name).alias("task"),
        pl.lit(split).alias("split"),
        pl.col("label").cast(pl.Int32),
    )
    return columns.with_columns(pl.Series("probabilities", probabilities.tolist(), dtype=pl.List(pl.Float64))).select(
        schemas.PREDICTIONS.names
    )


def open_to_score(folder: Path, dtype: torch.dtype) -> Any:
    """
    Raises:
        ValueError: it is larger than a GPU.
    """
    require_room_to_score(folder, dtype)
    return open_model(folder, dtype).eval()


def require_room_to_score(folder: Path, dtype: torch.dtype) -> None:
    """
    Raises:
        ValueError: a GPU, each of which holds the whole model, has no room for its weights.
    """
    require_room(
        folder,
        "to be scored, which each GPU does by itself, the model",
        lambda weights: weights * dtype.itemsize,
        "score it on GPUs that have room for all of it, or behind a server (docs/served-models.md)",
    )


def load_for_scoring(folder: Path) -> Any:
    """In float32, for what is compared to the last digits."""
    return ready_to_score(open_to_score(folder, torch.float32))


def ready_to_score(model: Any) -> Any:
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
