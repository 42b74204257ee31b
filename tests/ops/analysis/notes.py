"""Predictions and the demographics of their notes, drawn so that what an analysis should find is known."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from lang1_assets.ops import schemas
from lang1_assets.ops.analysis.groups import Measuring
from lang1_assets.ops.tasks import TASKS

HOW = Measuring(min_notes=30, min_events=5, num_resamples=100, seed=1)
BOROUGHS = ("Bronx", "Brooklyn", "Queens")


def scored(
    n: int = 900,
    *,
    task: str = "readmission",
    split: str = "temporal_2024",
    first_day: datetime = datetime(2024, 1, 1),
    signal: float | np.ndarray = 2.0,
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(predictions, examples) of n notes of n / 2 patients over 360 days; a larger `signal` (n,) separates labels better."""
    rng = np.random.default_rng(seed)
    k = TASKS[task].num_classes
    labels = rng.choice(k, n, p=[0.7, *[0.3 / (k - 1)] * (k - 1)])
    logits = rng.normal(size=(n, k)) + np.eye(k)[labels] * np.broadcast_to(signal, n)[:, None]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    notes = [f"{task}-{split}-{i}" for i in range(n)]
    patients = [f"{split}-{i // 2}" for i in range(n)]
    predictions = pl.DataFrame(
        {
            "note_id": notes,
            "subject_id": patients,
            "task": task,
            "split": split,
            "label": labels.astype(np.int32),
            "probabilities": probabilities.tolist(),
        }
    ).select(schemas.PREDICTIONS.names)
    examples = pl.DataFrame(
        {
            "note_id": notes,
            "encounter_id": [f"e-{note}" for note in notes],
            "subject_id": patients,
            "prediction_time": [first_day + timedelta(days=360 * i / n) for i in range(n)],
            "split": split,
            "label": labels.astype(np.int32),
            "age": np.arange(n, dtype=np.int32) % 90,
            "sex": ["F", "M"] * (n // 2),
            "race": ["White", "Asian", "Black"] * (n // 3),
            "ethnicity": [None, *["Not Hispanic"] * (n - 1)],
            "borough": [BOROUGHS[i % 3] for i in range(n)],
        }
    ).select(schemas.COHORT.names)
    # As evaluations write them: in another order than the examples.
    return predictions.sample(fraction=1.0, shuffle=True, seed=seed), examples
