"""Is one model better than another on the same notes: DeLong's test, and a bootstrap of the difference.

Two models that read the same notes are right and wrong about the same ones, so their difference is known far better than
either value. Two overlapping intervals say little; these tests use the pairing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops.bootstrap import NORMAL_QUANTILE, NUM_RESAMPLES, auroc_distribution, percentile_interval
from lang1_assets.ops.metrics import Floats, Integers, MetricError, auroc, checked
from lang1_assets.ops.resampled_metrics import metric_distributions, metric_values


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A metric of the second model less that of the first, on the same notes, with a 95 % interval."""

    first: float
    second: float
    value: float
    low: float
    high: float
    standard_error: float
    p_value: float
    """Two-sided, of no difference; nan where the test does not exist."""


@dataclass(frozen=True, kw_only=True)
class DelongAuroc:
    """AUROC of two classes, with the standard error and the 95 % interval of DeLong et al. (1988)."""

    value: float
    low: float
    high: float
    standard_error: float


def delong_test(y_true: ArrayLike, first: ArrayLike, second: ArrayLike) -> Difference:
    """DeLong's test of two AUROCs; two classes only (DeLong, DeLong and Clarke-Pearson 1988).

    In O(n log n) by ranks (Sun and Xu 2014). It takes notes as independent: where patients return, use
    `bootstrap_test` with clusters. Of scores that rank alike the difference is 0 and the p-value 1.

    Args:
        y_true: labels (n,), 0 or 1.
        first, second: of each model the probability of class 1 (n,), or of both classes (n, 2).

    >>> outcome = delong_test([0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.5], [0.2, 0.1, 0.4, 0.9, 0.3, 0.5])
    >>> round(outcome.first, 3), outcome.second, round(outcome.value, 3)
    (0.889, 1.0, 0.111)
    """
    is_positive, scores = two_class_scores(y_true, first, second)
    values, covariance = delong_covariance(is_positive, scores)
    difference = float(values[1] - values[0])
    variance = max(float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]), 0.0)
    # Of equal rankings rounding leaves a variance of 1e-18.
    error = math.sqrt(variance) if variance > 1e-15 else 0.0
    return Difference(
        first=float(values[0]),
        second=float(values[1]),
        value=difference,
        low=difference - NORMAL_QUANTILE * error,
        high=difference + NORMAL_QUANTILE * error,
        standard_error=error,
        p_value=normal_p_value(difference, error),
    )


def delong_interval(y_true: ArrayLike, y_prob: ArrayLike) -> DelongAuroc:
    """The interval of one AUROC without resampling; two classes only. Not cut at 0 and 1."""
    is_positive, scores = two_class_scores(y_true, y_prob)
    values, covariance = delong_covariance(is_positive, scores)
    value, error = float(values[0]), math.sqrt(float(covariance[0, 0]))
    return DelongAuroc(
        value=value,
        low=value - NORMAL_QUANTILE * error,
        high=value + NORMAL_QUANTILE * error,
        standard_error=error,
    )


def two_class_scores(y_true: ArrayLike, *models: ArrayLike) -> tuple[NDArray[np.bool_], list[Floats]]:
    """Which notes are positive, and the scores of class 1 of each model.

    Raises:
        MetricError: more than two classes, or too few notes of one for a variance.
    """
    found = [checked(y_true, model) for model in models]
    num_classes = {columns.shape[1] for _, columns in found}
    if num_classes != {2}:
        raise MetricError(f"DeLong's test is for two classes, got {max(num_classes)}; use bootstrap_test")
    is_positive = found[0][0] == 1
    smaller = int(min(is_positive.sum(), (~is_positive).sum()))
    if smaller < 2:
        raise MetricError(f"DeLong's test needs two notes of each class, got {smaller} of one; use a larger split")
    return is_positive, [columns[:, 1] for _, columns in found]


def delong_covariance(is_positive: NDArray[np.bool_], scores: list[Floats]) -> tuple[Floats, Floats]:
    """AUROCs (r,) of r models and their covariance (r, r)."""
    placed = [placements(is_positive, each) for each in scores]
    of_positives = np.array([positives for positives, _ in placed])
    of_negatives = np.array([negatives for _, negatives in placed])
    covariance = np.atleast_2d(np.cov(of_positives)) / of_positives.shape[1]
    return of_positives.mean(axis=1), covariance + np.atleast_2d(np.cov(of_negatives)) / of_negatives.shape[1]


def placements(is_positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above; ties count half."""
    positives, negatives = scores[is_positive], scores[~is_positive]
    return share_below(positives, np.sort(negatives)), 1 - share_below(negatives, np.sort(positives))


def share_below(values: Floats, ordered: Floats) -> Floats:
    """Of each value (n,) the share of `ordered` below it, ties half."""
    below, not_above = np.searchsorted(ordered, values, side="left"), np.searchsorted(ordered, values, side="right")
    return (below + not_above) / (2 * len(ordered))


def normal_p_value(difference: float, error: float) -> float:
    """Two-sided; 1 for no difference at all, nan for one whose error is 0."""
    if difference == 0:
        return 1.0
    return math.erfc(abs(difference) / error / math.sqrt(2)) if error > 0 else math.nan


def bootstrap_test(
    y_true: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    metric: str = "auroc",
    num_resamples: int = NUM_RESAMPLES,
    seed: int,
    clusters: ArrayLike | None = None,
) -> Difference:
    """The difference of a metric in resamples of the notes, both models on the same ones.

    The interval is the middle 95 % of the differences. The p-value is twice the smaller share of resamples on one side of 0,
    each share with one added above and below: never 0, and at least 2 / (num_resamples + 1).

    Args:
        y_true: labels (n,).
        first, second: probabilities (n, k) of each model; for AUROC of two classes also (n,).
        metric: a name of `results.METRICS`; AUROC of several classes is the mean one-versus-rest.
        clusters: the patient of each note (n,): whole patients are drawn.
    """
    values = [value_of(metric, y_true, model) for model in (first, second)]
    drawn = [distribution_of(metric, y_true, model, num_resamples, seed, clusters) for model in (first, second)]
    differences = drawn[1] - drawn[0]
    interval = percentile_interval(differences)
    return Difference(
        first=values[0],
        second=values[1],
        value=values[1] - values[0],
        low=interval.low,
        high=interval.high,
        standard_error=interval.standard_deviation,
        p_value=share_p_value(differences[np.isfinite(differences)]),
    )


def distribution_of(
    metric: str, y_true: ArrayLike, y_prob: ArrayLike, num_resamples: int, seed: int, clusters: ArrayLike | None
) -> Floats:
    if metric == "auroc":
        return auroc_distribution(y_true, y_prob, num_resamples=num_resamples, seed=seed, clusters=clusters)
    found = metric_distributions(y_true, y_prob, num_resamples=num_resamples, seed=seed, clusters=clusters)
    return found[metric]


def value_of(metric: str, y_true: ArrayLike, y_prob: ArrayLike) -> float:
    """The metric itself.

    Raises:
        MetricError: there is no such metric for this many classes.
    """
    labels, columns = checked(y_true, y_prob)
    if metric == "auroc":
        return auroc(labels, columns).value
    known = metric_values(labels, columns)
    if metric not in known:
        raise MetricError(
            f"no metric {metric!r} for {columns.shape[1]} classes; choose one of {', '.join(sorted(known))}"
        )
    return known[metric]


def share_p_value(differences: Floats) -> float:
    if len(differences) == 0:
        return math.nan
    below, above = int((differences <= 0).sum()), int((differences >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))


@dataclass(frozen=True, kw_only=True)
class PairedPredictions:
    """What two models said of the notes that both scored."""

    labels: Integers
    """(n,)"""
    first: Floats
    second: Floats
    """(n, k)"""
    patients: NDArray[np.str_]
    """(n,)"""
    only_first: int
    only_second: int
    """Notes that one of them did not score, and that no test uses."""


def on(predictions: pl.DataFrame, task: str, split: str) -> pl.DataFrame:
    """Rows of `schemas.PREDICTIONS` of one task and split."""
    return predictions.filter(pl.col("task") == task, pl.col("split") == split)


def paired(first: pl.DataFrame, second: pl.DataFrame) -> PairedPredictions:
    """Rows of `schemas.PREDICTIONS` of one task and split of each model, side by side.

    Raises:
        MetricError: several tasks or splits, no note in common, or a note with two labels.
    """
    both = first.join(second, on=["note_id", "task", "split"], suffix="_second", validate="1:1", maintain_order="left")
    kinds = both.select("task", "split").unique()
    if len(kinds) != 1:
        raise MetricError(
            f"{len(kinds)} tasks and splits with notes that both models scored, expected 1; filter before"
        )
    wrong = both.filter(pl.col("label") != pl.col("label_second"))
    if not wrong.is_empty():
        raise MetricError(
            f"note {wrong['note_id'][0]} of {wrong['task'][0]} has label {wrong['label'][0]} and {wrong['label_second'][0]}: "
            "the models were scored on different versions of the task; score one again"
        )
    return PairedPredictions(
        labels=both["label"].to_numpy().astype(np.int64),
        first=np.array(both["probabilities"].to_list()),
        second=np.array(both["probabilities_second"].to_list()),
        patients=both["subject_id"].to_numpy().astype(str),
        only_first=len(first) - len(both),
        only_second=len(second) - len(both),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values (Holm 1979): those at most a level are rejected, with a chance below it that any of them is true.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    found, largest = [1.0] * len(p_values), 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        found[number] = largest
    return found
