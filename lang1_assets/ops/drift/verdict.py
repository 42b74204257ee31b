"""Has the model got worse, have its inputs changed: what was tested, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from scipy.stats import norm

from lang1_assets.ops.comparison import holm
from lang1_assets.ops.drift.inputs import TESTED as TESTED_INPUTS
from lang1_assets.ops.drift.rows import (
    AUROC,
    GAP,
    NUM_NOTES,
    SCORE_STABILITY,
    TOKENS_PER_WORD,
    UNSEEN_WORDS,
    WORD_DISTANCE,
    WORDS_MEDIAN,
    DriftRow,
    titles,
)
from lang1_assets.ops.tasks import TASKS

TESTED = (AUROC, GAP)
"""Of each task: discrimination, and calibration in the large."""
POWER = 0.8
MONTHS_BEFORE, LEAST_MONTHS_BEFORE = 12, 3
"""That a month's number of notes is compared with, and how many there must be."""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """One number of the newest month of its task against the reference."""

    row: DriftRow
    p_adjusted: float
    """Holm's: what is compared with the level of the whole check."""
    is_worse: bool
    least_found: float | None
    """The smallest change that this many notes would have shown with a chance of `POWER`, were it the only one."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    tested: Sequence[Tested]
    left_out: Sequence[DriftRow]
    """Newest months of tasks whose AUROC does not exist, with the reason."""
    level: float

    @property
    def worse(self) -> list[Tested]:
        return [one for one in self.tested if one.is_worse]


def drop_verdict(rows: Iterable[DriftRow], model: str, level: float) -> Verdict:
    """AUROC and calibration of the newest month of each task that the model scored, all of them together at one level (Holm 1979).

    A task's newest month is its own: a label that needs 30 days of follow-up comes a month later than the others.
    """
    newest = newest_of(row for row in rows if row["model"] == model)
    found = [row for row in newest if row["statistic"] in TESTED and row["p_value"] is not None]
    adjusted = holm([row["p_value"] or 0.0 for row in found])
    return Verdict(
        tested=[
            Tested(
                row=row,
                p_adjusted=p_value,
                is_worse=p_value <= level,
                least_found=least_found(row, level / len(found)),
            )
            for row, p_value in zip(found, adjusted, strict=True)
        ],
        left_out=[row for row in newest if row["statistic"] == AUROC and row["p_value"] is None],
        level=level,
    )


def least_found(row: DriftRow, level: float) -> float | None:
    """The smallest change that a test at this level finds with a chance of `POWER`; that of the gap looks to both sides."""
    if row["standard_error"] is None:
        return None
    tail = level / 2 if row["statistic"] == GAP else level
    return float(norm.isf(tail) + norm.ppf(POWER)) * row["standard_error"]


def newest_of(rows: Iterable[DriftRow]) -> list[DriftRow]:
    """Rows of the last month of each task."""
    rows = list(rows)
    last: dict[str, str] = {}
    for row in rows:
        last[row["task"]] = max(last.get(row["task"], ""), row["month"])
    return [row for row in rows if row["month"] == last[row["task"]]]


def worse_by_month(rows: Iterable[DriftRow], level: float) -> set[tuple[str, str, str, str]]:
    """(model, month, task, statistic) of what was worse, each month tested by itself: the marks of a picture."""
    months: dict[tuple[str, str], list[DriftRow]] = {}
    for row in rows:
        if row["statistic"] in TESTED and row["p_value"] is not None:
            months.setdefault((row["model"], row["month"]), []).append(row)
    return {
        (row["model"], row["month"], row["task"], row["statistic"])
        for held in months.values()
        for row, p_value in zip(held, holm([row["p_value"] or 0.0 for row in held]), strict=True)
        if p_value <= level
    }


@dataclass(frozen=True, kw_only=True)
class Material:
    """How large a change of the inputs must be to matter, whatever its significance."""

    words: float
    """Of the median number of words, as a share of the reference's."""
    tokens_per_word: float
    """As a share of the reference's."""
    unseen_words: float
    """Share of words above that of random patients of the reference."""
    word_distance: float
    """Above that of random patients of the reference."""
    score_stability: float
    """Index above that of random patients of the reference."""
    notes: float
    """Times as many notes as the months before, or as few."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What was tested of the newest months' inputs, and what has changed."""

    num_tested: int
    changed: Sequence[DriftRow]
    volumes: Mapping[tuple[str, str], float]
    """(task, month) -> the usual number of notes, where the month's is far from it."""
    num_random: int
    """Random samples of the reference that a changed number lies beyond."""

    @property
    def chance(self) -> float:
        """At most, that any of the numbers is called changed in a month of the same kind."""
        return min(1.0, self.num_tested / (self.num_random + 1))


def inputs_verdict(rows: Iterable[DriftRow], material: Material, num_random: int) -> Inputs:
    """A number has changed when it lies beyond all random samples of the reference, and by more than what matters."""
    rows = list(rows)
    found = [row for row in newest_of(rows) if row["statistic"] in TESTED_INPUTS and row["p_value"] is not None]
    beyond_all = 1 / (num_random + 1) + 1e-12
    return Inputs(
        num_tested=len(found),
        changed=[row for row in found if (row["p_value"] or 0.0) <= beyond_all and is_material(row, material)],
        volumes=unusual_volumes(rows, material.notes),
        num_random=num_random,
    )


def is_material(row: DriftRow, material: Material) -> bool:
    value, reference = row["value"], row["reference"]
    if value is None or reference is None:
        return False
    change = value - reference
    if row["statistic"] in (WORDS_MEDIAN, TOKENS_PER_WORD):
        least = material.words if row["statistic"] == WORDS_MEDIAN else material.tokens_per_word
        return abs(change) > least * abs(reference)
    least_of = {
        UNSEEN_WORDS: material.unseen_words,
        WORD_DISTANCE: material.word_distance,
        SCORE_STABILITY: material.score_stability,
    }
    return change > least_of[row["statistic"]]


def unusual_volumes(rows: Sequence[DriftRow], times: float) -> dict[tuple[str, str], float]:
    """Newest months with many more or fewer notes than the median of those before: mostly an export that is not whole."""
    counts: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["statistic"] == NUM_NOTES and row["value"] is not None:
            counts.setdefault(row["task"], {})[row["month"]] = row["value"]
    found = {}
    for task, by_month in counts.items():
        *before, last = sorted(by_month)
        if len(before) >= LEAST_MONTHS_BEFORE:
            usual = median(by_month[month] for month in before[-MONTHS_BEFORE:])
            if not usual / times <= by_month[last] <= usual * times:
                found[task, last] = usual
    return found


def drop_words(verdict: Verdict, model: str) -> str:
    """What the check found, in words; begins with the proposal where there is one."""
    worse = "; ".join(worse_words(one) for one in verdict.worse)
    tasks = dict.fromkeys(one.row["task"] for one in verdict.tested)
    tested = (
        f"Tested: AUROC (lower) and observed less expected (further from 0) of the newest month of {len(tasks)} task(s), scored "
        f"by {model}, against its reference; {len(verdict.tested)} tests at {verdict.level:.1%} together (Holm)."
        if verdict.tested
        else f"Nothing was tested: no month that {model} scored can be compared with its reference."
    )
    reasons = "; ".join(f"{TASKS[row['task']].title} {row['month']}: {reason(row)}" for row in verdict.left_out)
    left_out = f"Left out: {reasons}." if reasons else ""
    return " ".join(filter(None, (f"Retraining proposed. {worse}." if worse else "", tested, left_out)))


def reason(row: DriftRow) -> str:
    return row["left_out"] or "no reference"


def worse_words(one: Tested) -> str:
    row = one.row
    return (
        f"{TASKS[row['task']].title} {row['month']}: {titles(row['statistic'])} {number(row['value'])} "
        f"({number(row['low'])} to {number(row['high'])}) against {number(row['reference'])}, p {one.p_adjusted:.2g}"
    )


def inputs_words(inputs: Inputs) -> str:
    changed = [
        f"{TASKS[row['task']].title} {row['month']}: {titles(row['statistic'])} {number(row['value'])} against "
        f"{number(row['reference'])} ({number(row['reference_low'])} to {number(row['reference_high'])})"
        for row in inputs.changed
    ]
    volumes = [
        f"{TASKS[task].title} {month}: usually {usual:,.0f} notes" for (task, month), usual in inputs.volumes.items()
    ]
    found = "; ".join([*changed, *volumes])
    tested = (
        f"{inputs.num_tested} numbers of the newest months against {inputs.num_random} random samples of the reference each; "
        f"a false alarm in at most {inputs.chance:.1%} of months."
    )
    return f"{found}. {tested}" if found else tested


def number(value: float | None) -> str:
    """Three decimals, fewer of what is large."""
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
