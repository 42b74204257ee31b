"""What emerges along the checkpoints of a pretraining run: comprehension and zero-shot AUROC (Fig. 3, M55).

Each checkpoint is opened once and sees the same notes and questions, so that differences between checkpoints are differences
between models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import binomtest

from lang1_assets.ops.bootstrap import auroc_distribution, percentile_interval
from lang1_assets.ops.comprehension import right_answers
from lang1_assets.ops.evaluation import load_for_scoring
from lang1_assets.ops.metrics import auroc
from lang1_assets.ops.prompts import PromptSet, build_prompts, informative_examples
from lang1_assets.ops.scoring import score_options
from lang1_assets.ops.tasks import TASKS

ACCURACY = "accuracy"
"""The metric of rows about questions."""
CHANCE_AUROC = 0.5
SIMULTANEOUS = 0.95
"""Chance that all of the last checkpoint's intervals hold 0.5 when every AUROC is 0.5 (Bonferroni over the tasks)."""


class TrajectoryRow(TypedDict):
    """One point of Fig. 3."""

    checkpoint: str
    tokens: int
    name: str
    """In `tasks.COMPREHENSION`, or a task."""
    metric: str
    """`accuracy` or `auroc`."""
    value: float
    low: float
    high: float
    """95 %: of an accuracy after Wilson (1927), of an AUROC from resampled notes (paper 5.5)."""
    n: int
    num_events: int
    """Notes (or questions) that are not of the commonest label (or outcome): an interval knows no more than they do."""
    chance: float


@dataclass(frozen=True, kw_only=True)
class TrajectoryConfig:
    """How checkpoints are looked at; `settings.Evaluate` and `settings.Finetune` say what each field means."""

    split: str
    note_tokens: int
    context_length: int
    max_examples: int
    max_questions: int
    batch_size: int
    num_resamples: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Accuracy of the last checkpoint less that of the first, on the same questions, with a 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class TrajectoryReport:
    rows: list[TrajectoryRow]
    comprehension_gains: dict[str, Gain]
    """Of each set of questions; none with one checkpoint."""
    off_chance: list[str]
    """Tasks of the last checkpoint whose zero-shot AUROC is not 0.5, at a confidence of `SIMULTANEOUS` for all together."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What every checkpoint is asked, made once: they share a tokenizer."""

    prompts: dict[str, PromptSet]
    questions: dict[str, pl.DataFrame]


def evaluate_trajectory(
    folders: Sequence[Path],
    examples: dict[str, Path],
    questions: dict[str, pl.DataFrame],
    config: TrajectoryConfig,
    on_progress: Callable[[str], None],
) -> TrajectoryReport:
    """Fig. 3 for the checkpoints in `folders`, named `tokens-N`, from the earliest to the last.

    Args:
        examples: task -> file of `schemas.EXAMPLES`; a task without a note in `config.split` is left out.
        questions: name in `tasks.COMPREHENSION` -> rows of `schemas.QUESTIONS`.

    Raises:
        ValueError: no checkpoint, or neither notes nor questions.
    """
    asked = prepare(folders, examples, questions, config)
    rows: list[TrajectoryRow] = []
    rights: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in asked.questions}
    off_chance: list[str] = []
    for folder in folders:
        model = load_for_scoring(folder)
        for name, one in asked.questions.items():
            right = right_answers(model, folder, one, config.context_length, config.batch_size)
            rights[name].append(right)
            rows.append(accuracy_row(folder.name, name, right, one))
        aurocs = [auroc_row(folder.name, task, model, prompts, config) for task, prompts in asked.prompts.items()]
        rows += [row for row, _ in aurocs]
        off_chance = [row["name"] for row, is_off in aurocs if is_off]
        on_progress(", ".join(f"{row['name']} {row['value']:.3f}" for row in rows if row["checkpoint"] == folder.name))
    gains = {name: gain(found[0], found[-1]) for name, found in rights.items() if len(found) > 1}
    return TrajectoryReport(rows=rows, comprehension_gains=gains, off_chance=off_chance)


def prepare(
    folders: Sequence[Path], examples: dict[str, Path], questions: dict[str, pl.DataFrame], config: TrajectoryConfig
) -> Asked:
    if not folders:
        raise ValueError("a trajectory without a checkpoint; pretrain the model again")
    prompts = {}
    for task, path in examples.items():
        rows = informative_examples(TASKS[task], path, config.split, config.max_examples, config.seed)
        if not rows.is_empty():
            texts, labels = rows["text"].to_list(), rows["label"].to_list()
            prompts[task] = build_prompts(
                TASKS[task], texts, labels, folders[0], config.note_tokens, config.context_length
            )
    if not prompts and not questions:
        raise ValueError(f"no note of split '{config.split}' and no question to look at a trajectory with")
    # Evenly spread: a file may be sorted by subject.
    spread = {name: rows.gather_every(-(-len(rows) // config.max_questions)) for name, rows in questions.items()}
    return Asked(prompts=prompts, questions=spread)


def tokens_of(checkpoint: str) -> int:
    """Tokens seen, from a checkpoint's name `tokens-N`."""
    return int(checkpoint.split("-")[1])


def accuracy_row(checkpoint: str, name: str, right: NDArray[np.bool_], questions: pl.DataFrame) -> TrajectoryRow:
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return TrajectoryRow(
        checkpoint=checkpoint,
        tokens=tokens_of(checkpoint),
        name=name,
        metric=ACCURACY,
        value=float(right.mean()),
        low=float(interval.low),
        high=float(interval.high),
        n=len(right),
        num_events=num_events(right),
        chance=sum(1 / len(options) for options in questions["options"]) / len(questions),
    )


def auroc_row(
    checkpoint: str, task: str, model: Any, prompts: PromptSet, config: TrajectoryConfig
) -> tuple[TrajectoryRow, bool]:
    """The point of one task, and whether it is not 0.5."""
    probabilities = score_options(model, prompts, config.batch_size)
    values = auroc_distribution(prompts.labels, probabilities, num_resamples=config.num_resamples, seed=config.seed)
    interval = percentile_interval(values)
    row = TrajectoryRow(
        checkpoint=checkpoint,
        tokens=tokens_of(checkpoint),
        name=task,
        metric="auroc",
        value=auroc(prompts.labels, probabilities).value,
        low=interval.low,
        high=interval.high,
        n=len(prompts.labels),
        num_events=num_events(prompts.labels),
        chance=CHANCE_AUROC,
    )
    return row, is_off_chance(values, num_tasks=len(TASKS))


def num_events(labels: NDArray[Any]) -> int:
    """
    >>> num_events(np.array([0, 0, 2, 0, 1]))
    2
    """
    return len(labels) - int(np.unique(labels, return_counts=True)[1].max())


def is_off_chance(values: NDArray[np.float64], num_tasks: int) -> bool:
    """Whether the resampled AUROCs of one of `num_tasks` tasks lie on one side of 0.5, the level shared among the tasks."""
    scored = values[np.isfinite(values)]
    tail = (1 - SIMULTANEOUS) / num_tasks / 2
    low, high = np.quantile(scored, [tail, 1 - tail]) if len(scored) else (-math.inf, math.inf)
    return not low <= CHANCE_AUROC <= high


def gain(first: NDArray[np.bool_], last: NDArray[np.bool_]) -> Gain:
    """Mean difference of two models' answers to the same questions, +- 1.96 standard errors of that mean.

    >>> gain(np.array([True, False, False, False]), np.array([True, True, True, False])).value
    0.5
    """
    differences = last.astype(float) - first.astype(float)
    reach = 1.96 * float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf
    value = float(differences.mean())
    return Gain(value=value, low=value - reach, high=value + reach)
