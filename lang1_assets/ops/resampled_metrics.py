"""Every metric of a results table in every resample of the test set: where their intervals come from (paper 5.5).

A resample is how often each note counts. What costs time is done once for all resamples: sorting, binning, logarithms; what
is left are sums weighted by those counts, for as many resamples at a time as fit in a cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lang1_assets.ops import metrics
from lang1_assets.ops.bootstrap import MacroAuroc, MicroAuroc, mean_of_present, resample_weights, summed
from lang1_assets.ops.metrics import NUM_BINS, Floats, Integers
from lang1_assets.ops.metrics.calibration import error_bins
from lang1_assets.ops.metrics.discrimination import last_of_ties
from lang1_assets.ops.metrics.proper_scores import of_truth, squared_errors
from lang1_assets.ops.metrics.recalibration import covariate, fit_line, fit_lines, fit_shifts, log_odds
from lang1_assets.ops.metrics.utility import THRESHOLDS, benefits

Resampled = Callable[[Floats], Floats]
"""From how often each note counts (b, n) to the metric's values (b,); nan where it does not exist."""


def metric_values(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """Each metric that exists for this many classes, by its name in `results.METRICS`; labels (n,), probabilities (n, k)."""
    outcome = metrics.auroc(labels, probabilities)
    line = metrics.calibration_line(labels, probabilities)
    values = {
        "auroc": outcome.value,
        "auprc": metrics.average_precision(labels, probabilities).value,
        "brier": metrics.brier_score(labels, probabilities),
        "log_loss": metrics.log_loss(labels, probabilities),
        "ece_top_class": metrics.top_class_ece(labels, probabilities),
        "calibration_slope": line.slope,
    }
    if np.shape(probabilities)[1] > 2:
        of_classes = {k: outcome.by_class.get(k, math.nan) for k in range(np.shape(probabilities)[1])}
        return values | {"auroc_micro": outcome.micro} | {class_name(k): value for k, value in of_classes.items()}
    curve = metrics.decision_curve(labels, probabilities)
    return values | {
        "ece_positive": metrics.positive_ece(labels, probabilities),
        "calibration_intercept": line.intercept,
        "calibration_in_the_large": line.in_the_large,
        **{benefit_name(at): value for at, value in zip(THRESHOLDS, curve.model.tolist(), strict=True)},
    }


def metric_distributions(
    labels: ArrayLike,
    probabilities: ArrayLike,
    *,
    num_resamples: int,
    seed: int,
    clusters: ArrayLike | None = None,
) -> dict[str, Floats]:
    """The metrics of `metric_values` in each resample, (num_resamples,); the resamples are those of `bootstrap_auroc`."""
    truth, columns = metrics.checked_probabilities(labels, probabilities)
    measure = resampled_metrics(truth, columns)
    blocks = resample_weights(len(truth), num_resamples=num_resamples, seed=seed, clusters=clusters)
    found = [measure(weights) for weights in blocks]
    return {name: np.concatenate([block[name] for block in found]) for name in found[0]}


def resampled_metrics(labels: Integers, columns: Floats) -> Callable[[Floats], dict[str, Floats]]:
    """All metrics as one function of how often each note counts."""
    is_binary = columns.shape[1] == 2
    confidences, is_right = columns.max(axis=1), columns.argmax(axis=1) == labels
    single: dict[str, Resampled] = {
        "auprc": macro_precision(labels, columns),
        "ece_top_class": resampled_ece(confidences, is_right),
    }
    means = {"brier": squared_errors(labels, columns), "log_loss": -np.log(of_truth(labels, columns))}
    if is_binary:
        single["ece_positive"] = resampled_ece(columns[:, 1], labels == 1)
        worth = benefits(labels == 1, columns[:, 1], THRESHOLDS)
        means |= {benefit_name(at): column for at, column in zip(THRESHOLDS, worth.T, strict=True)}
    else:
        single["auroc_micro"] = MicroAuroc(labels, columns).of_weights
    of_means, of_lines = resampled_means(means), resampled_lines(labels, columns)
    of_ranks = resampled_auroc(labels, columns)

    def measure(weights: Floats) -> dict[str, Floats]:
        alone = {name: function(weights) for name, function in single.items()}
        return alone | of_ranks(weights) | of_means(weights) | of_lines(weights)

    return measure


def resampled_auroc(labels: Integers, columns: Floats) -> Callable[[Floats], dict[str, Floats]]:
    """`metrics.auroc(...)`: its value, and with several classes each against the others; nan for a class nobody has."""
    ranked, num_classes = MacroAuroc(labels, columns), columns.shape[1]

    def measure(weights: Floats) -> dict[str, Floats]:
        found = ranked.of_classes(weights)
        macro = {"auroc": mean_of_present(list(found.values()))}
        if num_classes == 2:
            return macro
        nowhere = np.full(len(weights), math.nan)
        return macro | {class_name(k): found.get(k, nowhere) for k in range(num_classes)}

    return measure


def resampled_means(values: Mapping[str, Floats]) -> Callable[[Floats], dict[str, Floats]]:
    """Means over notes of values (n,)."""
    stacked = np.stack(list(values.values()))

    def measure(weights: Floats) -> dict[str, Floats]:
        means = np.einsum("bi,qi->bq", weights, stacked) / weights.sum(axis=1, keepdims=True)
        return dict(zip(values, means.T, strict=True))

    return measure


def resampled_ece(confidences: Floats, outcomes: NDArray[np.bool_]) -> Resampled:
    """`metrics.calibration.binned_error`."""
    bins, gaps = error_bins(confidences, NUM_BINS), outcomes - confidences
    return lambda weights: np.abs(summed(bins, weights * gaps, NUM_BINS + 1)).sum(axis=1) / weights.sum(axis=1)


def macro_precision(labels: Integers, columns: Floats) -> Resampled:
    """`metrics.average_precision(...).value`."""
    classes = [1] if columns.shape[1] == 2 else np.unique(labels).tolist()
    by_class = [resampled_precision(labels == k, columns[:, k]) for k in classes]
    return lambda weights: mean_of_present([measure(weights) for measure in by_class])


def resampled_precision(is_positive: NDArray[np.bool_], scores: Floats) -> Resampled:
    """`metrics.discrimination.stepwise_precision`."""
    order = np.argsort(-scores, kind="stable")
    ends, positive = last_of_ties(scores[order]), is_positive[order].astype(np.float64)

    def measure(weights: Floats) -> Floats:
        ordered = weights.take(order, axis=1)
        found, above = np.cumsum(ordered * positive, axis=1), np.cumsum(ordered, axis=1)
        if len(ends) < len(order):
            found, above = found.take(ends, axis=1), above.take(ends, axis=1)
        # Above the first note that was drawn there is nothing, and nothing is found there.
        precisions = found / np.maximum(above, 1)
        with np.errstate(invalid="ignore"):
            values = np.einsum("be,be->b", np.diff(found, axis=1, prepend=0.0), precisions) / found[:, -1]
        return np.where(found[:, -1] < above[:, -1], values, math.nan)

    return measure


def resampled_lines(labels: Integers, columns: Floats) -> Callable[[Floats], dict[str, Floats]]:
    """`metrics.calibration_line`, each fit begun at that of the whole sample."""
    classes = [1] if columns.shape[1] == 2 else np.unique(labels).tolist()
    odds = {k: covariate(log_odds(columns[:, k])) for k in classes}
    starts = {k: fit_line(odds[k], labels == k) for k in classes}
    shift = (
        float(fit_shifts(odds[1].x, labels == 1, np.ones((1, len(labels))))[0]) if columns.shape[1] == 2 else math.nan
    )

    def measure(weights: Floats) -> dict[str, Floats]:
        lines = {k: fit_lines(odds[k], labels == k, weights, starts[k]) for k in classes}
        slopes = {"calibration_slope": mean_of_present([slopes for _, slopes in lines.values()])}
        if columns.shape[1] > 2:
            return slopes
        return slopes | {
            "calibration_intercept": lines[1][0],
            "calibration_in_the_large": fit_shifts(odds[1].x, labels == 1, weights, shift),
        }

    return measure


def class_name(label: int) -> str:
    return f"auroc_class_{label}"


def benefit_name(threshold: float) -> str:
    return f"net_benefit_{round(100 * threshold)}"
