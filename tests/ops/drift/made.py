"""Hand-made notes, predictions and rows, drawn so that what drift should find is known."""

from typing import Any

import numpy as np
import polars as pl

from lang1_assets.ops.analysis.groups import Measuring
from lang1_assets.ops.drift.rows import DriftRow, Scored, row
from lang1_assets.ops.metrics import Integers
from tests.ops.analysis.notes import scored

HOW = Measuring(min_notes=30, min_events=5, num_resamples=200, seed=1)
HEAD: Scored = {"month": "2025-01", "task": "readmission", "model": "m1", "variant": "ours"}


def count_tokens(texts: Any) -> Integers:
    """A token for every two letters."""
    return np.array([sum((len(word) + 1) // 2 for word in text.split()) for text in texts], dtype=np.int64)


def notes(n: int = 200, *, seed: int = 0, words: int = 40, vocabulary: int = 60, first: int = 0) -> pl.DataFrame:
    """n notes of n / 2 patients, each of about `words` words `aab...` of a vocabulary whose commonest is `first`."""
    rng = np.random.default_rng(seed)
    texts = []
    for length in rng.integers(max(1, words - 10), words + 11, n):
        places = first + np.minimum(rng.geometric(0.1, length), vocabulary)
        texts.append(" ".join(spelled(int(place)) for place in places))
    return pl.DataFrame({"subject_id": [f"p{i // 2}" for i in range(n)], "text": texts})


def spelled(place: int) -> str:
    """A word of letters for a number."""
    return "".join("abcdefghij"[int(digit)] for digit in f"{place:04}")


def predictions(n: int = 300, *, seed: int = 0, signal: float = 2.0, task: str = "readmission") -> pl.DataFrame:
    # It draws multiples of 6.
    held = scored(n + -n % 6, task=task, split="test", signal=signal, seed=seed)[0].head(n)
    return held.with_columns(subject_id=pl.format("{}-{}", pl.lit(str(seed)), "subject_id"))


def made_row(statistic: str, value: float | None, *, month: str = "2025-01", **more: Any) -> DriftRow:
    """One row, whatever of it is given."""
    head = {**HEAD, "month": month, **{name: more.pop(name) for name in ("task", "model") if name in more}}
    left_out = more.pop("left_out", None)
    return row(head, statistic, 100, value, more, left_out=left_out)  # type: ignore[arg-type]
