"""A baseline on the benchmark: a model a task, fitted on its training notes, set by its validation notes, scored on its tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from lang1_assets.ops.baselines.models import (
    KINDS,
    MIN_NOTES,
    Baseline,
    Trained,
    best_of,
    trained_models,
    vectorizer,
)
from lang1_assets.ops.baselines.structured import CATEGORIES, NUMBERS, Tables, structured_features
from lang1_assets.ops.evaluation import prediction_rows
from lang1_assets.ops.evaluation_record import PromptsUsed, prompts_used, values_sha256
from lang1_assets.ops.metrics import Integers
from lang1_assets.ops.prompts import read_examples
from lang1_assets.ops.tasks import TASKS, Task

PACKAGES = ("scikit-learn", "lightgbm", "scipy")


class BaselineError(ValueError):
    """There is nothing to fit or to score."""


class Fitted(TypedDict):
    """The model of one task. No text: words of notes stay out, terms are counted."""

    task: str
    num_train: int
    num_val: int
    num_features: int
    settings: dict[str, float]
    """Those of the highest AUROC on validation."""
    val_auroc: float | None
    tried: list[dict[str, float | None]]
    """Every setting with its `val_auroc`."""
    model_sha256: str
    features_sha256: str
    """Of the names of the features: of a bag of words its terms."""


@dataclass(frozen=True, kw_only=True)
class ScoredBaseline:
    """What `evaluation.Scored` is of a language model."""

    predictions: pl.DataFrame
    """Rows of `schemas.PREDICTIONS`."""
    prompts: list[PromptsUsed]
    """Hashes of what it saw of each note, in the order of the predictions."""
    fitted: list[Fitted]

    @property
    def record(self) -> dict[str, Any]:
        """For the record of the evaluation: in the place of a language model's weights and tokenizer."""
        return {
            "model_sha256": values_sha256({row["task"]: row["model_sha256"] for row in self.fitted}),
            "tokenizer_sha256": values_sha256({row["task"]: row["features_sha256"] for row in self.fitted}),
            "fitted": self.fitted,
            "fitted_with": {name: version(name) for name in PACKAGES},
        }


def predict_baseline(
    name: str,
    examples: dict[str, Path],
    tables: Tables,
    splits: Sequence[str],
    max_examples: int,
    seed: int,
    on_progress: Callable[[str], None],
) -> ScoredBaseline:
    """One of `KINDS` on each task's examples file; of a split the same notes that language models are scored on.

    Args:
        examples: task -> rows of `schemas.EXAMPLES`.
        tables: for what is not in the note.

    Raises:
        BaselineError: no task can be fitted, each having no training note or one class of them, or no split has a note.
    """
    frames: list[pl.DataFrame] = []
    used: list[PromptsUsed] = []
    fitted: list[Fitted] = []
    left_out: list[str] = []
    for key, path in examples.items():
        task = TASKS[key]
        try:
            model = TaskModel.fit(KINDS[name], task, path, tables, seed)
        except BaselineError as error:
            # A rare task of a hospital's own takes nothing from the others.
            left_out.append(str(error))
            on_progress(f"left out: {error}")
            continue
        fitted.append(model.fitted)
        on_progress(f"fitted {name} to {model.fitted['num_train']} notes of {key}: {model.fitted['settings']}")
        for split in splits:
            rows = read_examples(path, split, max_examples, seed)
            if not rows.is_empty():
                frames.append(model.predictions(split, rows))
                used.append(prompts_used(key, split, model.seen(rows)))
    if not frames:
        files = [str(path) for path in examples.values()]
        raise BaselineError("; ".join(left_out) or f"no example in splits {list(splits)} of {files}")
    return ScoredBaseline(predictions=pl.concat(frames), prompts=used, fitted=fitted)


@dataclass(frozen=True, kw_only=True)
class TaskModel:
    """A baseline that has learned one task."""

    baseline: Baseline
    task: Task
    tables: Tables
    vectorizer: Any
    trained: Trained
    fitted: Fitted

    @classmethod
    def fit(cls, baseline: Baseline, task: Task, path: Path, tables: Tables, seed: int) -> TaskModel:
        train, val = (notes_of(path, split) for split in ("train", "val"))
        if train["label"].n_unique() < 2:
            raise BaselineError(
                f"{path}: {len(train)} training notes of {task.name}, of {train['label'].n_unique()} class(es); expected "
                "two classes at least. Leave the task out, or widen the development window of its cohort"
            )
        turned = vectorizer(baseline)
        features = fitted_features(turned, baseline, task, path, inputs(baseline, train, tables))
        seen = (turned.transform(inputs(baseline, val, tables)) if len(val) else features[:0], labels_of(val))
        # Sums by another number of threads differ in their last digits.
        with threadpool_limits(1, user_api="blas"):
            found = trained_models(baseline, (features, labels_of(train)), seen, task.num_classes, seed)
        best = best_of(found)
        return cls(
            baseline=baseline,
            task=task,
            tables=tables,
            vectorizer=turned,
            trained=best,
            fitted={
                "task": task.name,
                "num_train": len(train),
                "num_val": len(val),
                "num_features": features.shape[1],
                "settings": best.settings,
                "val_auroc": best.val_auroc,
                "tried": [{**one.settings, "val_auroc": one.val_auroc} for one in found],
                "model_sha256": best.sha256,
                "features_sha256": names_sha256(turned.get_feature_names_out()),
            },
        )

    def predictions(self, split: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows of `schemas.PREDICTIONS`, in the order of the examples."""
        features = self.vectorizer.transform(inputs(self.baseline, rows, self.tables))
        return prediction_rows(self.task, split, rows, self.trained.probabilities(features, self.task.num_classes))

    def seen(self, rows: pl.DataFrame) -> list[bytes]:
        """What the model is given of each note."""
        if self.baseline.inputs == "text":
            return [text.encode() for text in rows["text"]]
        frame = structured_features(rows, self.tables).drop("note_id")
        return [repr(row).encode() for row in frame.iter_rows()]


def fitted_features(turned: Any, baseline: Baseline, task: Task, path: Path, given: Any) -> Any:
    """The training notes as a matrix.

    Raises:
        BaselineError: no word is in enough of them.
    """
    try:
        return turned.fit_transform(given)
    except ValueError as error:
        if baseline.inputs != "text":
            raise
        raise BaselineError(
            f"{path}: no word is in {MIN_NOTES} of the {len(given)} training notes of {task.name}. Leave the task out, or widen "
            "the development window of its cohort"
        ) from error


def notes_of(path: Path, split: str) -> pl.DataFrame:
    return pl.scan_parquet(path).filter(pl.col("split") == split).sort("note_id").collect()


def labels_of(rows: pl.DataFrame) -> Integers:
    return rows["label"].to_numpy().astype(np.int64)


def inputs(baseline: Baseline, rows: pl.DataFrame, tables: Tables) -> Any:
    """What the vectorizer of a baseline takes: texts, or a pandas frame of `NUMBERS` and `CATEGORIES`."""
    if baseline.inputs == "text":
        return rows["text"].to_list()
    return structured_features(rows, tables).select(*NUMBERS, *CATEGORIES).to_pandas()


def names_sha256(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
