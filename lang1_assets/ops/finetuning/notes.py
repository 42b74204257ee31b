"""The labelled notes of a run: those that are learned from, and those that say how well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lang1_assets.ops.finetuning.config import FinetuneConfig, num_train_notes
from lang1_assets.ops.finetuning.learner import Learner
from lang1_assets.ops.prompts import PromptSet, informative_examples, read_examples
from lang1_assets.ops.tasks import TASKS

VALIDATION_SPLIT = "val"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Validation notes of one task, of two classes as many of each as there are: their AUROC is known best like that."""

    prompts: PromptSet
    weights: NDArray[np.float64]
    """(num_prompts,): how many notes of the split each stands for, so that the loss is that of the notes as they come."""


def load_train(config: FinetuneConfig, learner: Learner) -> dict[str, PromptSet]:
    """
    Raises:
        ValueError: a task has nothing to learn from.
    """
    wanted = num_train_notes(config)
    return {
        task: learner.prompts(task, some(read_examples(path, "train", wanted, config.seed), path, "train", task))
        for task, path in config.examples.items()
    }


def load_held_out(config: FinetuneConfig, learner: Learner) -> dict[str, HeldOut]:
    """
    Raises:
        ValueError: a task has nothing to be validated with.
    """
    held_out = {}
    for task, path in config.examples.items():
        rows = informative_examples(TASKS[task], path, VALIDATION_SPLIT, config.validation_examples, config.seed)
        prompts = learner.prompts(task, some(rows, path, VALIDATION_SPLIT, task))
        held_out[task] = HeldOut(prompts=prompts, weights=stood_for(prompts.labels, counts_of(path)))
    return held_out


def some(rows: pl.DataFrame, path: Path, split: str, task: str) -> pl.DataFrame:
    if rows.is_empty():
        raise ValueError(f"{path}: no note of split '{split}'; expected labelled notes of {task}")
    return rows


def counts_of(path: Path) -> dict[int, int]:
    """Validation notes of each label."""
    labels = pl.scan_parquet(path).filter(pl.col("split") == VALIDATION_SPLIT).select("label")
    return dict(labels.group_by("label").len().collect().iter_rows())


def stood_for(labels: NDArray[np.int64], counts: Mapping[int, int]) -> NDArray[np.float64]:
    """Notes of the split for each note of a choice, by label."""
    chosen = {label: int((labels == label).sum()) for label in set(labels.tolist())}
    return np.array([counts[label] / chosen[label] for label in labels.tolist()], dtype=np.float64)
