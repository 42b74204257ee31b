"""Do finetuned models mean what they say (appendix E, Fig. E5)?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lang1_assets.ops.metrics import Floats, calibration_curve, top_class_ece
from lang1_assets.ops.metrics.calibration import NUM_BINS, error_bins
from lang1_assets.ops.results import JOINT, labels_and_probabilities
from lang1_assets.ops.study.cells import Cell, Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import Evidence, Lacking, Question, Region, Weighed, shared
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import title_of
from lang1_assets.ops.study.resampling import predictions_on

TOLERATED = 0.02
"""ECE above what a perfectly calibrated model of as many notes has."""
ECE = "ece_top_class"


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. E5: reliability curves of ours, a panel a task, single and joint, with both calibration errors below."""
    points = [
        point for task in studied.tasks for cell in models_of(studied, task) for point in curve(studied, cell, task)
    ]
    return (
        Figure(
            name="calibration",
            paper="Fig. E5",
            title="Predicted and observed",
            caption=f"Reliability of {studied.ours.name} on the {studied.test_title()} in {NUM_BINS} bins. Expected calibration "
            f"errors: {'; '.join(all_errors(studied))}.",
            kind="lines",
            x_title="mean predicted probability",
            y_title="observed share",
            points=tuple(points),
        ),
    )


def models_of(studied: Studied, task: str) -> list[Cell]:
    """Ours on the task alone and on all, those that were evaluated."""
    found = [studied.here(studied.ours, mode).cell for mode in (task, JOINT)]
    return [cell for cell in found if cell is not None and cell.row(task, studied.split) is not None]


def curve(studied: Studied, cell: Cell, task: str) -> list[Point]:
    found = calibration_curve(*labels_and_probabilities(predictions_on(cell, task, studied.split)))
    kind = "joint" if cell.trained_on == JOINT else "single"
    values = zip(found.mean_predicted.tolist(), found.fraction_positive.tolist(), found.counts.tolist(), strict=True)
    note = ", ".join(errors(studied, cell, task))
    return [
        Point(
            series=kind,
            x=predicted,
            value=observed,
            n=count,
            panel=title_of(task),
            source=cell.source,
            note=note,
        )
        for predicted, observed, count in values
    ]


def all_errors(studied: Studied) -> Iterator[str]:
    """`Mortality, joint: ECE of the top class 0.010, ...`"""
    for task in studied.tasks:
        for cell in models_of(studied, task):
            kind = "joint" if cell.trained_on == JOINT else "single"
            yield f"{title_of(task)}, {kind}: {', '.join(errors(studied, cell, task)) or 'not measured'}"


def errors(studied: Studied, cell: Cell, task: str) -> Iterator[str]:
    for metric, words in ((ECE, "ECE of the top class"), ("ece_positive", "ECE of the positive class")):
        row = cell.row(task, studied.split, metric)
        if row is not None and row["value"] is not None:
            yield f"{words} {row['value']:.3f}"


def excess_errors(studied: Studied) -> list[Weighed]:
    """Of the joint model on every task, and of each task's own: what was not evaluated is missing, not left out."""
    pairs = [(task, mode) for task in studied.tasks for mode in (task, JOINT)]
    if not pairs:
        return [Lacking(about="ours, finetuned", why=f"{studied.here(studied.ours, JOINT).name} was not evaluated")]
    return [excess_error(studied, mode, task, shared(len(pairs))) for task, mode in pairs]


def excess_error(studied: Studied, mode: str, task: str, level: float) -> Weighed:
    """ECE less what chance alone gives a model of these probabilities, with the interval of the resampled ECE."""
    from scipy.stats import norm

    about = f"{title_of(task)}, {'joint' if mode == JOINT else 'single'}"
    sought = studied.here(studied.ours, mode)
    if sought.cell is None:
        return Lacking(about=about, why=f"{sought.name} was not evaluated", absent=(sought.name,))
    cell = sought.cell
    row = cell.row(task, studied.split, ECE)
    if row is None or row["value"] is None or row["standard_deviation"] is None:
        return Lacking(about=about, why=f"{cell.source} has no calibration error")
    labels, probabilities = labels_and_probabilities(predictions_on(cell, task, studied.split))
    expected = float(np.mean(errors_of_perfect(probabilities, studied.num_resamples, studied.seed)))
    value = top_class_ece(labels, probabilities) - expected
    reach = float(norm.ppf(1 - (1 - level) / 2)) * row["standard_deviation"]
    return Evidence(
        about=about,
        value=value,
        low=value - reach,
        high=value + reach,
        level=level,
        region=Region(upper=TOLERATED),
        n=len(labels),
        sources=(cell.source,),
    )


def errors_of_perfect(probabilities: Floats, num_draws: int, seed: int) -> Floats:
    """`metrics.top_class_ece` (num_draws,) if the labels were drawn from these probabilities (n, k): what bins and n alone give.

    Whether the top class is right is then a coin of its own probability; the bins stay.
    """
    confidences = probabilities.max(axis=1)
    bins = error_bins(confidences, NUM_BINS)
    generator = np.random.default_rng(seed)
    found = np.empty(num_draws)
    for draw in range(num_draws):
        gaps = (generator.random(len(confidences)) < confidences) - confidences
        found[draw] = np.abs(np.bincount(bins, weights=gaps)).sum() / len(confidences)
    return found


QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="finetuned_is_well_calibrated",
            paper="Fig. E5, appendix E",
            statement="Ours is well calibrated, finetuned on one task and on all.",
            statistic=f"expected calibration error of the top class ({NUM_BINS} bins) less the mean error of a perfectly "
            f"calibrated model with the same probabilities, simulated: below {TOLERATED} on every task; 95 % interval (value +- "
            "normal quantile x standard deviation of the resamples) shared among tasks and models (Bonferroni)",
        ),
        weigh=excess_errors,
    ),
)
