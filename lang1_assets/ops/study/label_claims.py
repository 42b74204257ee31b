"""Claims whose figures are analyses of their own: labels, groups of patients, patients seen before (F6, K8, L9)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lang1_assets.ops.metrics import Floats
from lang1_assets.ops.results import JOINT
from lang1_assets.ops.study.cells import Studied
from lang1_assets.ops.study.claim import Claim
from lang1_assets.ops.study.evidence import ABOVE, Evidence, Lacking, Question, Region, Weighed, shared, widened
from lang1_assets.ops.study.points import title_of
from lang1_assets.ops.tasks import TASKS

STAY = "length_of_stay"
SIMILAR_RISK = 0.01
"""Of death: the paper's is 0.018 overall."""
LITTLE = 0.01
"""AUROC: the paper's differences are 0.004 to 0.007 (appendix L)."""
READMISSION = "readmission"
OVERLAP_TASKS = (READMISSION, "mortality", STAY)
MOST = 0.5
"""Standard deviation of numbers between 0 and 1."""
DIFFERENT = 0.01
"""AUROC, standard deviation between groups."""

Row = Mapping[str, Any]


def extremes_of_the_dead(studied: Studied) -> list[Weighed]:
    """P(0 - 2 or more than 5 days | died) less P(the same | survived), Fig. F6a."""
    ends = TASKS[STAY].options[0], TASKS[STAY].options[-1]
    counts = {
        condition: [row for row in studied.dependence if row["condition"] == condition and row["outcome"] in ends]
        for condition in ("died", "survived")
    }
    if not all(counts.values()):
        return [Lacking(about="stay given death", why="label_dependence was not made")]
    (died, of_died), (survived, of_survived) = (
        (sum(row["count"] for row in rows), rows[0]["n"]) for rows in counts.values()
    )
    about = "0 to 2 or more than 5 days, died less survived"
    return [share_difference(about, (died, of_died), (survived, of_survived), ABOVE)]


def long_and_short(studied: Studied) -> list[Weighed]:
    """P(died | more than 5 days) less P(died | 0 - 2 days), Fig. F6b."""
    rows = {row["condition"]: row for row in studied.dependence if row["panel"] == "death given stay"}
    short, long = (rows.get(TASKS[STAY].options[place]) for place in (0, -1))
    if short is None or long is None:
        return [Lacking(about="death given stay", why="label_dependence was not made")]
    near = Region(lower=-SIMILAR_RISK, upper=SIMILAR_RISK)
    pair = (long["count"], long["n"]), (short["count"], short["n"])
    return [share_difference("risk of death, more than 5 days less 0 to 2", *pair, near)]


def share_difference(about: str, first: tuple[int, int], second: tuple[int, int], region: Region) -> Weighed:
    """Share (count, n) of the first less that of the second, stays that have nothing in common (Newcombe 1998, method 10)."""
    if not first[1] or not second[1]:
        return Lacking(about=about, why="nobody meets the condition")
    value, low, high = newcombe(first, second)
    sources = ("label_dependence",)
    n = min(first[1], second[1])
    return Evidence(about=about, value=value, low=low, high=high, level=0.95, region=region, n=n, sources=sources)


def newcombe(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float, float]:
    """Difference of two independent shares with its 95 % interval, from Wilson's intervals of both.

    >>> tuple(round(number, 4) for number in newcombe((56, 70), (48, 80)))
    (0.2, 0.0524, 0.3339)
    """
    from lang1_assets.ops.analysis.groups import share_interval

    (one, other), bounds = (
        (first[0] / first[1], second[0] / second[1]),
        (share_interval(*first), share_interval(*second)),
    )
    value = one - other
    down = math.hypot(one - bounds[0][0], bounds[1][1] - other)
    up = math.hypot(bounds[0][1] - one, other - bounds[1][0])
    return value, value - down, value + up


def strata_differ(studied: Studied) -> list[Weighed]:
    """Of each attribute, the spread of its groups' AUROCs on readmission beyond what chance gives."""
    name = f"strata/{studied.ours.name}"
    rows = finetuned_rows(studied.strata.get(name, ()), READMISSION)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row["attribute"] != "all" and row["value"] is not None and row.get("standard_deviation_by_patient"):
            groups.setdefault(row["attribute"], []).append(row)
    several = {attribute: found for attribute, found in groups.items() if len(found) > 1}
    if not several:
        return [
            Lacking(about="groups of patients", why=f"{name} has no attribute with two groups that are large enough")
        ]
    level = shared(len(several))
    return [spread(attribute, found, level, name) for attribute, found in several.items()]


def finetuned_rows(rows: Sequence[Row], task: str) -> list[Row]:
    """Of the joint model; of that of the task alone where there is none."""
    found = [row for row in rows if row["task"] == task]
    joint = [row for row in found if row["mode"] == JOINT]
    return joint or [row for row in found if row["mode"] == task]


def spread(attribute: str, rows: Sequence[Row], level: float, source: str) -> Evidence:
    """Standard deviation of AUROC between groups, without what chance gives (Paule and Mandel 1982; Viechtbauer 2007)."""
    from scipy.stats import chi2

    values = np.array([row["value"] for row in rows])
    errors = np.array([row["standard_deviation_by_patient"] for row in rows])
    tail = (1 - level) / 2
    low, high = (between(values, errors, float(chi2.ppf(at, len(rows) - 1))) for at in (1 - tail, tail))
    return Evidence(
        about=f"{attribute.replace('_', ' ')}, {len(rows)} groups",
        value=between(values, errors, len(rows) - 1),
        low=low,
        high=high,
        level=level,
        region=Region(lower=DIFFERENT),
        n=min(row["n"] for row in rows),
        sources=(source,),
    )


def between(values: Floats, errors: Floats, goal: float) -> float:
    """The standard deviation between groups at which Cochran's Q of their values equals `goal`.

    0 where Q is below it even so; no more than `MOST`, where few groups would allow any.
    """
    from scipy.optimize import brentq

    def excess(deviation: float) -> float:
        weights = 1 / (errors**2 + deviation**2)
        return float((weights * (values - np.average(values, weights=weights)) ** 2).sum()) - goal

    # Q falls as the deviation rises.
    if excess(0.0) <= 0:
        return 0.0
    return MOST if excess(MOST) >= 0 else float(brentq(excess, 0.0, MOST))


def overlap_is_harmless(studied: Studied) -> list[Weighed]:
    """AUROC of all patients less that of those whose notes the model has not met, Fig. L9."""
    name = f"patient_overlap/{studied.ours.name}"
    measured = {row["task"] for row in studied.overlap.get(name, ())}
    tasks = [task for task in OVERLAP_TASKS if task in measured] or OVERLAP_TASKS
    level = shared(len(tasks))
    return [overlap(studied, name, task, level) for task in tasks]


def seen_are_others(studied: Studied) -> list[Weighed]:
    """Age, and the share that is not white, of patients seen before less those of new ones, Fig. L9."""
    name = f"patient_overlap/{studied.ours.name}"
    measured = {row["task"] for row in studied.overlap.get(name, ())}
    tasks = [task for task in OVERLAP_TASKS if task in measured] or OVERLAP_TASKS
    level = shared(2 * len(tasks))
    return [
        population(studied, name, task, of, level)
        for task in tasks
        for of in (("age_difference", "years older"), ("not_white_difference", "share not white"))
    ]


def population(studied: Studied, name: str, task: str, of: tuple[str, str], level: float) -> Weighed:
    column, words = of
    about = f"{title_of(task)}, {words}"
    rows = finetuned_rows(studied.overlap.get(name, ()), task)
    row = next((row for row in rows if row["group"] == "all patients"), None)
    found = None if row is None else row.get(column)
    if row is None or found is None or found["low"] is None or found["high"] is None:
        return Lacking(about=about, why=f"{name} says it of no seen and new patients, finetuned")
    low, high = widened(found["value"], found["low"], found["high"], level)
    return Evidence(
        about=about,
        value=found["value"],
        low=low,
        high=high,
        level=level,
        region=ABOVE,
        n=row["n"],
        sources=(name,),
    )


def overlap(studied: Studied, name: str, task: str, level: float) -> Weighed:
    rows = finetuned_rows(studied.overlap.get(name, ()), task)
    row = next((row for row in rows if row["group"] == "all patients"), None)
    if row is None or row["difference_low"] is None or row["difference_high"] is None:
        return Lacking(about=title_of(task), why=f"{name} has no difference of all and new patients, finetuned")
    if not row["share_seen"]:
        return Lacking(
            about=title_of(task), why=f"{name} knows no patient of the test from training, so nobody to leave out"
        )
    value = row["difference_value"]
    low, high = widened(value, row["difference_low"], row["difference_high"], level)
    return Evidence(
        about=f"{title_of(task)}, {row['share_seen']:.0%} of the notes of seen patients",
        value=value,
        low=low,
        high=high,
        level=level,
        region=Region(lower=-LITTLE, upper=LITTLE),
        n=row["n"],
        sources=(name,),
    )


DEPENDENCE_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="the_dead_stayed_shortly_or_long",
            paper="Fig. F6a, appendix F",
            statement="Who died stayed 0 to 2 or more than 5 days more often than who survived.",
            statistic="difference of the two shares: 95 % interval (Newcombe 1998) above 0",
        ),
        weigh=extremes_of_the_dead,
    ),
    Question(
        claim=Claim(
            name="long_stays_have_the_risk_of_short_ones",
            paper="Fig. F6b, appendix F",
            statement="Who stays more than 5 days dies about as often as who stays 0 to 2 days.",
            statistic=f"equivalence: difference of the two risks within {SIMILAR_RISK}; 95 % interval (Newcombe 1998)",
        ),
        weigh=long_and_short,
    ),
)
STRATA_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="auroc_differs_among_groups",
            paper="Fig. K8, appendix K",
            statement="On readmission, AUROC differs among groups of patients by at least one attribute.",
            statistic="standard deviation of AUROC between the groups of an attribute, beyond what chance gives, above "
            f"{DIFFERENT} for one attribute or more: Q-profile interval (Viechtbauer 2007) from errors resampled by patient, 95 % "
            "shared among the attributes (Bonferroni)",
        ),
        weigh=strata_differ,
        needed=lambda count: 1,
    ),
)
OVERLAP_QUESTIONS: Sequence[Question] = (
    Question(
        claim=Claim(
            name="patient_overlap_changes_little",
            paper="Fig. L9, appendix L",
            statement="Leaving out patients whose notes the model was trained on hardly changes AUROC.",
            statistic=f"equivalence: AUROC of all less that of new patients within {LITTLE} on every task; 95 % interval shared "
            "among the tasks (Bonferroni), resampled by patient",
        ),
        weigh=overlap_is_harmless,
    ),
    Question(
        claim=Claim(
            name="seen_patients_are_another_population",
            paper="Fig. L9, appendix L",
            statement="Patients whose notes the model was trained on are older than new ones, and more often not white.",
            statistic="mean age, and share that is not white, over the notes of seen patients less those of new ones: above 0 on "
            "every task; 95 % interval shared among tasks and both numbers (Bonferroni), resampled by patient",
        ),
        weigh=seen_are_others,
    ),
)
