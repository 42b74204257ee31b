"""How the scores of a month lie among those of the reference: the population stability index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lang1_assets.ops.metrics import Floats, Integers
from lang1_assets.ops.results import labels_and_probabilities

NUM_BINS = 10
"""Deciles of the reference."""
HALF = 0.5
"""Added to each bin (Jeffreys' prior): an empty one has no logarithm."""


@dataclass(frozen=True, kw_only=True)
class Binned:
    """Notes by patient and bin of the reference: of class 1 with two classes, else of each class."""

    by_class: Sequence[Floats]
    """(p, bins) each"""

    @property
    def notes_of_patient(self) -> Integers:
        """(p,)"""
        return self.by_class[0].sum(axis=1).astype(np.int64)


def edges_of(scored: pl.DataFrame) -> list[Floats]:
    """Deciles of each class's probability in rows of `schemas.PREDICTIONS`; equal ones once."""
    at = np.arange(1, NUM_BINS) / NUM_BINS
    return [np.unique(np.quantile(column, at)) for column in columns_of(scored)]


def binned(scored: pl.DataFrame, edges: Sequence[Floats]) -> Binned:
    patients = np.unique(scored["subject_id"].to_numpy(), return_inverse=True)[1]
    return Binned(
        by_class=[
            by_patient(patients, np.searchsorted(own, column, side="right"), len(own) + 1)
            for own, column in zip(edges, columns_of(scored), strict=True)
        ]
    )


def by_patient(patients: Integers, bins: Integers, num_bins: int) -> Floats:
    """(p, num_bins): notes of each patient in each bin."""
    num_patients = int(patients.max(initial=-1)) + 1
    counts = np.bincount(patients * num_bins + bins, minlength=num_patients * num_bins)
    return counts.reshape(num_patients, num_bins).astype(np.float64)


def columns_of(scored: pl.DataFrame) -> list[Floats]:
    _, probabilities = labels_and_probabilities(scored)
    return [probabilities[:, 1]] if probabilities.shape[1] == 2 else list(probabilities.T)


def stability(first: Floats, second: Floats) -> Floats:
    """Population stability index (Siddiqi 2006): sum over bins of (p - q) * log(p / q), of notes by bin (b, bins) each.

    It is the divergence of Jeffreys (1946), 0 for equal shares. By the rule of thumb below 0.1 nothing has moved, above 0.25 much.
    Of small samples it is above 0 by chance, about (bins - 1) * (1 / n + 1 / m) (Yurdakul 2018).

    >>> stability(np.array([[10.0, 10.0]]), np.array([[10.0, 10.0]])).tolist()
    [0.0]
    """
    p, q = ((counts + HALF) / (counts + HALF).sum(axis=1, keepdims=True) for counts in (first, second))
    return ((p - q) * np.log(p / q)).sum(axis=1)


def mean_stability(first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
    """(b,): the mean over the classes."""
    return np.mean([stability(one, other) for one, other in zip(first, second, strict=True)], axis=0)
