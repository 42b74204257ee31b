"""What emerges along pretraining: comprehension does, zero-shot prediction does not (Fig. 3)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from lang1_assets.ops.bootstrap import NORMAL_QUANTILE
from lang1_assets.ops.study.cells import Studied, Trajectory
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import (
    ABOVE,
    Evidence,
    Lacking,
    Question,
    Region,
    Weighed,
    shared,
    widened,
)
from lang1_assets.ops.study.figure import Figure, Point
from lang1_assets.ops.study.points import CHANCE, title_of
from lang1_assets.ops.study.resampling import MIN_EVENTS
from lang1_assets.ops.tasks import COMPREHENSION, TASKS

FLAT = 0.05
"""AUROC: a rise of less over a whole pretraining is none. The paper's finetuning gains 0.017 to 0.237."""

NEAR = 0.05
"""AUROC above 0.5 that still is close to chance: as much as is no rise. The paper's worst best zero-shot model is 0.22 above."""
CORRELATIONS = np.linspace(0, 0.98, 50)
"""Of the errors of two checkpoints next to each other."""


def figures(studied: Studied) -> tuple[Figure, ...]:
    """Fig. 3a, one of each set of questions because chance is another for each, and 3b with a panel a task; a line a variant."""
    made = []
    for name, asked in COMPREHENSION.items():
        if rows := rows_named(studied, name):
            caption = "Share of right answers of each checkpoint; bars are 95 % intervals."
            points = [point for held in studied.trajectories for point in points_of(held, [name], has_panels=False)]
            made.append(along_pretraining("3a", asked.title, caption, "accuracy", points, rows[0]["chance"]))
    if aurocs := [point for held in studied.trajectories for point in points_of(held, TASKS, has_panels=True)]:
        caption = f"AUROC on the {studied.test_title()} of each checkpoint without finetuning; bars are 95 % intervals."
        made.append(along_pretraining("3b", "Zero-shot prediction", caption, "AUROC", aurocs, CHANCE))
    return tuple(made)


def along_pretraining(
    part: str, title: str, caption: str, y_title: str, points: Sequence[Point], chance: float
) -> Figure:
    return Figure(
        name="emergence",
        kind="lines",
        x_title="pretraining tokens",
        paper=f"Fig. {part}",
        title=f"{title} along pretraining",
        caption=caption,
        y_title=y_title,
        points=tuple(points),
        chance=chance,
    )


def rows_named(studied: Studied, name: str) -> list[Mapping[str, Any]]:
    return [row for held in studied.trajectories for row in held.rows if row["name"] == name]


def points_of(held: Trajectory, names: Collection[str], *, has_panels: bool) -> list[Point]:
    return [
        Point(
            series=held.model,
            x=float(row["tokens"]),
            value=row["value"],
            low=row["low"],
            high=row["high"],
            n=row["n"],
            panel=title_of(row["name"]) if has_panels else "",
            source=held.source,
        )
        for row in held.rows
        if row["name"] in names
    ]


def comprehension(studied: Studied) -> list[Weighed]:
    held = trajectory_of(studied)
    if isinstance(held, Lacking):
        return [held]
    if not held.gains:
        return [Lacking(about=held.model, why="one checkpoint, or no questions")]
    level = shared(len(held.gains))
    found: list[Weighed] = []
    for name, gain in held.gains.items():
        low, high = widened(gain["value"], gain["low"], gain["high"], level)
        found.append(
            Evidence(
                about=f"{held.model}, {COMPREHENSION[name].title}, last checkpoint less first",
                value=gain["value"],
                low=low,
                high=high,
                level=level,
                region=ABOVE,
                n=next((row["n"] for row in held.rows if row["name"] == name), None),
                sources=(held.source,),
            )
        )
    return found


def rises(studied: Studied) -> list[Weighed]:
    """Of every task its own: a mean hides the one that emerges behind those that fall."""
    held = zero_shot_rows(studied)
    if isinstance(held, Lacking):
        return [held]
    level = shared(len(held))
    source = f"trajectory_evaluation/{studied.ours.name}"
    found: list[Weighed] = []
    for task, rows in held.items():
        if few := too_few(task, rows):
            found.append(few)
            continue
        value, error = slope(rows)
        reach = NormalDist().inv_cdf(1 - (1 - level) / 2) * error
        found.append(
            Evidence(
                about=f"{title_of(task)}, rise over {len(rows)} checkpoints",
                value=value,
                low=value - reach,
                high=value + reach,
                level=level,
                region=Region(upper=FLAT),
                n=min(row["n"] for row in rows),
                sources=(source,),
            )
        )
    return found


def heights(studied: Studied) -> list[Weighed]:
    """Of every task its highest checkpoint, whichever that is.

    The highest is one of them, so it lies below the highest of their upper bounds as surely as any one of these holds; it
    lies above all lower bounds only where all of these hold at once: they share the error (Bonferroni).
    """
    held = zero_shot_rows(studied)
    if isinstance(held, Lacking):
        return [held]
    level = shared(len(held))
    source = f"trajectory_evaluation/{studied.ours.name}"
    found: list[Weighed] = []
    for task, rows in held.items():
        if few := too_few(task, rows):
            found.append(few)
            continue
        together = 1 - (1 - level) / len(rows)
        found.append(
            Evidence(
                about=f"{title_of(task)}, highest of {len(rows)} checkpoints",
                value=max(row["value"] for row in rows),
                low=max(widened(row["value"], row["low"], row["high"], together)[0] for row in rows),
                high=max(widened(row["value"], row["low"], row["high"], level)[1] for row in rows),
                level=level,
                region=Region(upper=CHANCE + NEAR),
                n=min(row["n"] for row in rows),
                sources=(source,),
            )
        )
    return found


def zero_shot_rows(studied: Studied) -> dict[str, list[Mapping[str, Any]]] | Lacking:
    """Task -> its points."""
    held = trajectory_of(studied)
    if isinstance(held, Lacking):
        return held
    rows = [row for row in held.rows if row["name"] in TASKS]
    checkpoints = len({row["tokens"] for row in rows})
    if checkpoints < 2:
        return Lacking(about=held.model, why=f"zero-shot AUROC of {checkpoints} checkpoint(s)")
    tasks = dict.fromkeys(row["name"] for row in rows)
    return {task: [row for row in rows if row["name"] == task] for task in tasks}


def too_few(task: str, rows: Sequence[Mapping[str, Any]]) -> Lacking | None:
    """Resampled notes say nothing of an AUROC that rests on a handful."""
    events = min(row["num_events"] for row in rows)
    if events >= MIN_EVENTS:
        return None
    why = f"{events} notes that are not of the commonest class, expected {MIN_EVENTS} or more; score more notes"
    return Lacking(about=title_of(task), why=f"{why} (evaluate.trajectory_examples)")


def trajectory_of(studied: Studied) -> Trajectory | Lacking:
    name = studied.ours.name
    found = next((held for held in studied.trajectories if held.model == name), None)
    return found or Lacking(about=name, why=f"trajectory_evaluation/{name} was not evaluated")


def slope(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Rise of a task's AUROC from the first checkpoint to the last, by least squares on tokens; and its standard error.

    Each point weighs by its inverse variance. Checkpoints see the same notes, and near ones are much the same model: errors
    that are alike in all leave a slope as it is, but those alike in neighbors tilt it. So the error is the largest that any
    correlation CORRELATIONS ** (steps between two checkpoints) would give; independent errors alone give up to a fifth less.
    """
    tokens = np.array([row["tokens"] for row in rows], dtype=float)
    x = (tokens - tokens.min()) / (np.ptp(tokens) or 1.0)
    y = np.array([row["value"] for row in rows])
    # A percentile interval of no width would weigh without bound.
    errors = np.maximum([(row["high"] - row["low"]) / (2 * NORMAL_QUANTILE) for row in rows], 1e-3)
    weights = 1 / errors**2
    center = np.average(x, weights=weights)
    shares = weights * (x - center) / float((weights * (x - center) ** 2).sum())
    steps = np.abs(np.subtract.outer(np.arange(len(rows)), np.arange(len(rows))))
    tilted = shares * errors
    variances = [float(tilted @ correlation**steps @ tilted) for correlation in CORRELATIONS]
    return float(shares @ y), math.sqrt(max(variances))


QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="comprehension_rises",
            paper="Fig. 3a, section 2",
            statement="Comprehension rises along pretraining.",
            statistic="accuracy of the last checkpoint less that of the first, on the same questions: interval above 0 on each set "
            "of them; 95 % shared among the sets (Bonferroni)",
        ),
        weigh=comprehension,
    ),
    Question(
        claim=Claim(
            name="zero_shot_does_not_rise",
            paper="Fig. 3b, section 2",
            statement=f"Zero-shot AUROC rises by less than {FLAT} along pretraining, on every task.",
            statistic="slope test: weighted least squares of AUROC on pretraining tokens, from the first checkpoint to the last: "
            f"the interval lies below {FLAT} on every task; 95 % shared among the tasks (Bonferroni), from the points' intervals "
            "by note, for errors that near checkpoints have in common",
        ),
        weigh=rises,
    ),
    Question(
        claim=Claim(
            name="zero_shot_stays_near_chance",
            paper="Fig. 3b, section 2",
            statement=f"Zero-shot AUROC of every checkpoint stays below {CHANCE + NEAR}, close to or below chance, on every task.",
            statistic=f"AUROC of the highest checkpoint below {CHANCE + NEAR} on every task; 95 % interval by note, shared among "
            "the tasks (Bonferroni), its lower bound among the checkpoints too, because the highest is chosen on the same notes",
        ),
        weigh=heights,
    ),
)
