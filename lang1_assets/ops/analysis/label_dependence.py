"""How length of stay and death depend on each other, from the labels alone (appendix F, Fig. F6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import polars as pl

from lang1_assets.ops.analysis.groups import share_interval
from lang1_assets.ops.tasks import TASKS

DEATH, STAY = "mortality", "length_of_stay"
OUTCOMES = {1: "died", 0: "survived"}


class DependenceRow(TypedDict):
    """P(outcome | condition), with its 95 % interval (Wilson 1927); `value` is None where nobody meets the condition."""

    panel: str
    """`stay given death` (Fig. F6a) or `death given stay` (Fig. F6b)."""
    condition: str
    outcome: str
    n: int
    """Stays that meet the condition."""
    count: int
    value: float | None
    low: float | None
    high: float | None


class Matching(TypedDict):
    """Stays that both tasks label: what the probabilities are of."""

    num_stays: int
    only_mortality: int
    only_length_of_stay: int


def dependence_rows(mortality: pl.DataFrame, stays: pl.DataFrame) -> tuple[list[DependenceRow], Matching]:
    """From the examples of both tasks (`encounter_id`, `label`), all splits together: labels need no model and no test."""
    of_death, of_stay = (_by_stay(frame) for frame in (mortality, stays))
    both = of_death.join(of_stay, on="encounter_id", suffix="_stay")
    bins = TASKS[STAY].options
    given_death = [
        _row("stay given death", OUTCOMES[died], option, both.filter(label=died), pl.col("label_stay") == number)
        for died in OUTCOMES
        for number, option in enumerate(bins)
    ]
    given_stay = [
        _row("death given stay", option, OUTCOMES[1], both.filter(label_stay=number), pl.col("label") == 1)
        for number, option in enumerate(bins)
    ]
    matching = Matching(
        num_stays=len(both),
        only_mortality=len(of_death) - len(both),
        only_length_of_stay=len(of_stay) - len(both),
    )
    return [*given_death, *given_stay], matching


def _by_stay(examples: pl.DataFrame) -> pl.DataFrame:
    """One row a stay: a task may have several notes of it, all with the stay's label."""
    return examples.select("encounter_id", "label").unique("encounter_id", keep="first", maintain_order=True)


def _row(panel: str, condition: str, outcome: str, held: pl.DataFrame, is_outcome: pl.Expr) -> DependenceRow:
    count, n = len(held.filter(is_outcome)), len(held)
    low, high = share_interval(count, n) if n else (None, None)
    return {
        "panel": panel,
        "condition": condition,
        "outcome": outcome,
        "n": n,
        "count": count,
        "value": count / n if n else None,
        "low": low,
        "high": high,
    }


def panel_rows(rows: Sequence[DependenceRow], panel: str) -> list[DependenceRow]:
    return [row for row in rows if row["panel"] == panel]
