"""What the harness's answers are worth: called by its task files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lang1_assets.ops.metrics import auroc


def process_results(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Called by the harness for each note: the label and the letters' probabilities."""
    likelihoods = [likelihood for likelihood, _ in results]
    top = max(likelihoods)
    weights = [math.exp(value - top) for value in likelihoods]
    return {"auroc": (doc["label"], [weight / sum(weights) for weight in weights])}


def aggregate_auroc(items: Sequence[tuple[int, Sequence[float]]]) -> float:
    """Called by the harness once for all notes."""
    labels, probabilities = zip(*items, strict=True)
    return auroc(np.asarray(labels), np.asarray(probabilities)).value
