"""The interval of an AUROC: ours against `scipy.stats.bootstrap` with scikit-learn's `roc_auc_score`, on the same resamples.

As many notes as the paper's largest test has (97,586), drawn at random: a binary task with 11 % positives, and one with the four
classes of length of stay, macro-averaged one-versus-rest. Every contender runs in a process that is held to one core; ours has
one thread, and so has scikit-learn. The bounds must agree to 1e-12 in every pair of runs, or the bench fails.

Run: `.venv/bin/python bench/bootstrap.py [--repeats N]`. Writes `bench/results/bootstrap.json` and `.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

import contest
import numpy as np
from numpy.typing import NDArray

NUM_NOTES = 97_586
POSITIVE_SHARE = 0.11
CLASS_SHARES = (0.42, 0.17, 0.18, 0.23)
SEED = 3407
FASTER_BY = 20
AGREE_TO = 1e-12
NUM_RESAMPLES = {"binary": 1_000, "four classes": 200}
"""Of four classes fewer, for both: a thousand take the peer three minutes."""

Bounds = tuple[float, float]
Arrays = tuple[NDArray[Any], NDArray[Any]]


def predictions(case: str) -> Arrays:
    """Labels (n,) and probabilities, (n,) or (n, k), of a model that sees the truth through noise."""
    rng = np.random.default_rng(SEED)
    if case == "binary":
        labels = (rng.random(NUM_NOTES) < POSITIVE_SHARE).astype(int)
        return labels, 1 / (1 + np.exp(2 - labels - rng.normal(size=NUM_NOTES)))
    labels = rng.choice(len(CLASS_SHARES), NUM_NOTES, p=CLASS_SHARES)
    logits = rng.normal(size=(NUM_NOTES, len(CLASS_SHARES))) + np.eye(len(CLASS_SHARES))[labels]
    chances = np.exp(logits)
    return labels, chances / chances.sum(axis=1, keepdims=True)


def ours(labels: NDArray[Any], probabilities: NDArray[Any], num_resamples: int) -> Bounds:
    from lang1_assets.ops.bootstrap import bootstrap_auroc

    interval = bootstrap_auroc(labels, probabilities, num_resamples=num_resamples, seed=SEED)
    return interval.low, interval.high


def scipy_with_sklearn(labels: NDArray[Any], probabilities: NDArray[Any], num_resamples: int) -> Bounds:
    from scipy import stats
    from sklearn.metrics import roc_auc_score

    def macro(y_true: NDArray[Any], *columns: NDArray[Any]) -> float:
        return float(roc_auc_score(y_true, np.stack(columns, axis=1), multi_class="ovr"))

    is_binary = probabilities.ndim == 1
    found = stats.bootstrap(
        (labels, probabilities) if is_binary else (labels, *probabilities.T),
        roc_auc_score if is_binary else macro,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=num_resamples,
        rng=SEED,
    ).confidence_interval
    return float(found.low), float(found.high)


CONTENDERS: dict[str, Callable[[NDArray[Any], NDArray[Any], int], Bounds]] = {
    "ours": ours,
    "scipy_with_sklearn": scipy_with_sklearn,
}


def run(name: str, case: str) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    labels, probabilities = predictions(case)
    # What is imported on the first call is no part of the time.
    CONTENDERS[name](labels[:500], probabilities[:500], 2)
    contest.timed(lambda: CONTENDERS[name](labels, probabilities, NUM_RESAMPLES[case]))


def largest_difference(runs: dict[str, list[contest.Measured]]) -> float:
    """Between the bounds of any two runs."""
    bounds = np.array([measured.result for held in runs.values() for measured in held])
    return float(np.ptp(bounds, axis=0).max())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--run", nargs=2, metavar=("NAME", "CASE"))
    options = parser.parse_args()
    if options.run:
        run(*options.run)
        return
    lines = [f"{NUM_NOTES:,} notes; medians of {options.repeats} runs in turns, each held to the same core.", ""]
    result: dict[str, Any] = {"num_notes": NUM_NOTES, "repeats": options.repeats}
    failures = []
    for case, num_resamples in NUM_RESAMPLES.items():
        runs = contest.contest(__file__, list(CONTENDERS), options.repeats, lambda name, turn, case=case: [case])
        rows = contest.rows_of(runs, num_resamples)
        ratio = rows["scipy_with_sklearn"]["seconds"] / rows["ours"]["seconds"]
        difference = largest_difference(runs)
        bounds = runs["ours"][0].result
        lines += [f"## {case}, {num_resamples:,} resamples", "", *contest.table(rows, "ours", "resamples/s"), ""]
        lines += [
            f"{ratio:.1f} times as fast (at least {FASTER_BY} wanted). Interval {bounds[0]:.6f} to {bounds[1]:.6f}; largest "
            f"difference between the bounds of any two runs: {difference:.1e}.",
            "",
        ]
        result[case] = {
            "num_resamples": num_resamples,
            "rows": rows,
            "faster_by": round(ratio, 2),
            "bounds": bounds,
            "largest_difference_of_bounds": difference,
        }
        if difference > AGREE_TO:
            failures.append(f"{case}: bounds differ by {difference:.1e}, more than {AGREE_TO:.0e}")
    if failures:
        sys.exit("; ".join(failures))
    contest.write_results("bootstrap", result, lines)


if __name__ == "__main__":
    main()
