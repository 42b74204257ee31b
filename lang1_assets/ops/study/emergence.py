"""What emerges along pretraining: comprehension does, zero-shot prediction does not (Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from lang1_assets.ops.bootstrap import NORMAL_QUANTILE
from lang1_assets.ops.study.cells import Studied, Trajectory
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import ABOVE, Evidence, Lacking, Question, Region, Weighed
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import CHANCE, title_of

COMPREHENSION = "comprehension"
"""Name of the rows that are no task's (`trajectory.TrajectoryRow`)."""
FLAT = 0.05
"""AUROC: a rise of less over a whole pretraining is none. The paper's finetuning gains 0.017 to 0.237."""


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 3a and 3b: a line a variant; of 3b a panel a task."""
    answers = [point for held in studied.trajectories for point in points_of(held, is_comprehension=True)]
    aurocs = [point for held in studied.trajectories for point in points_of(held, is_comprehension=False)]
    chances = [row["chance"] for held in studied.trajectories for row in held.rows if row["name"] == COMPREHENSION]
    made = []
    if answers:
        made.append(
            Figure(
                name="emergence",
                kind="lines",
                x_title="pretraining tokens",
                paper="Fig. 3a",
                title="Comprehension along pretraining",
                caption="Share of right answers of each checkpoint; bars are 95 % intervals.",
                y_title="accuracy",
                points=tuple(answers),
                chance=chances[0],
            )
        )
    if aurocs:
        made.append(
            Figure(
                name="emergence",
                kind="lines",
                x_title="pretraining tokens",
                paper="Fig. 3b",
                title="Zero-shot prediction along pretraining",
                caption=f"AUROC on {studied.split} of each checkpoint without finetuning; bars are 95 % intervals.",
                y_title="AUROC",
                points=tuple(aurocs),
                chance=CHANCE,
            )
        )
    return tuple(made)


def points_of(held: Trajectory, *, is_comprehension: bool) -> list[Point]:
    return [
        Point(
            series=held.model,
            x=float(row["tokens"]),
            value=row["value"],
            low=row["low"],
            high=row["high"],
            n=row["n"],
            panel="" if is_comprehension else title_of(row["name"]),
            source=held.source,
        )
        for row in held.rows
        if (row["name"] == COMPREHENSION) == is_comprehension
    ]


def comprehension(studied: Studied) -> list[Weighed]:
    held = trajectory_of(studied)
    if isinstance(held, Lacking):
        return [held]
    if held.gain is None:
        return [Lacking(about=held.model, why="one checkpoint, or no questions")]
    return [
        Evidence(
            about=f"{held.model}, last checkpoint less first",
            value=held.gain["value"],
            low=held.gain["low"],
            high=held.gain["high"],
            level=0.95,
            region=ABOVE,
            n=next((row["n"] for row in held.rows if row["name"] == COMPREHENSION), None),
            sources=(held.source,),
        )
    ]


def zero_shot(studied: Studied) -> list[Weighed]:
    held = trajectory_of(studied)
    if isinstance(held, Lacking):
        return [held]
    rows = [row for row in held.rows if row["name"] != COMPREHENSION]
    checkpoints = list(dict.fromkeys(row["tokens"] for row in rows))
    if len(checkpoints) < 2:
        return [Lacking(about=held.model, why=f"zero-shot AUROC of {len(checkpoints)} checkpoint(s)")]
    value, error = mean_slope(rows)
    reach = NORMAL_QUANTILE * error
    return [
        Evidence(
            about=f"{held.model}, rise over {len(checkpoints)} checkpoints, mean of tasks",
            value=value,
            low=value - reach,
            high=value + reach,
            level=0.95,
            region=Region(upper=FLAT),
            n=min(row["n"] for row in rows),
            sources=(held.source,),
        )
    ]


def trajectory_of(studied: Studied) -> Trajectory | Lacking:
    name = studied.ours.name
    found = next((held for held in studied.trajectories if held.model == name), None)
    return found or Lacking(about=name, why=f"trajectory_evaluation/{name} was not evaluated")


def mean_slope(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Rise of AUROC from the first checkpoint to the last, by least squares on tokens, mean over tasks; and its standard error.

    Checkpoints see the same notes and tasks share patients. Within a task equal errors of all checkpoints leave a slope
    as it is, so independent ones overstate its error; among tasks errors are added as if they were one, which does too.
    """
    tasks = dict.fromkeys(row["name"] for row in rows)
    found = [slope([row for row in rows if row["name"] == task]) for task in tasks]
    return float(np.mean([value for value, _ in found])), float(np.mean([error for _, error in found]))


def slope(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Of one task over its whole trajectory, weighted by the inverse variance of each point."""
    tokens = np.array([row["tokens"] for row in rows], dtype=float)
    x = (tokens - tokens.min()) / (np.ptp(tokens) or 1.0)
    y = np.array([row["value"] for row in rows])
    # A percentile interval of no width would weigh without bound.
    errors = np.maximum([(row["high"] - row["low"]) / (2 * NormalDist().inv_cdf(0.975)) for row in rows], 1e-3)
    weights = 1 / errors**2
    center = np.average(x, weights=weights)
    spread = float((weights * (x - center) ** 2).sum())
    return float((weights * (x - center) * y).sum() / spread), math.sqrt(1 / spread)


QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="comprehension_rises",
            paper="Fig. 3a, section 2",
            statement="Comprehension rises along pretraining.",
            statistic="accuracy of the last checkpoint less that of the first, on the same questions: 95 % interval above 0",
        ),
        weigh=comprehension,
    ),
    Question(
        claim=Claim(
            name="zero_shot_does_not_rise",
            paper="Fig. 3b, section 2",
            statement=f"Zero-shot AUROC rises by less than {FLAT} along pretraining.",
            statistic="slope test: weighted least squares of AUROC on pretraining tokens, from the first checkpoint to the last, "
            f"mean over the tasks: the 95 % interval lies below {FLAT}",
        ),
        weigh=zero_shot,
    ),
)
