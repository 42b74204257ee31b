"""How often the check fails where nothing has changed, and where something has; bench/drift.py measures the same at length."""

from dataclasses import replace

import pytest

from lang1_assets.ops.analysis.groups import Measuring
from lang1_assets.ops.drift.performance import performance_rows, sample
from lang1_assets.ops.drift.rows import DriftRow, Scored
from lang1_assets.ops.drift.verdict import drop_verdict
from tests.ops.drift.made import predictions

HOW = Measuring(min_notes=30, min_events=5, num_resamples=100, seed=0)
TASKS = ("readmission", "length_of_stay")
LEVEL = 0.05
NUM_MONTHS = 100


def month(number: int, signal: float) -> list[DriftRow]:
    """One month of 120 notes of each task, and a reference of 360 of its own."""
    rows = []
    for place, task in enumerate(TASKS):
        seed = 1_000 * place + 2 * number
        head: Scored = {"month": "2025-01", "task": task, "model": "m", "variant": "m"}
        first, second = (
            predictions(360, seed=seed, signal=1.0, task=task),
            predictions(120, seed=seed + 1, signal=signal, task=task),
        )
        rows += performance_rows(
            head,
            sample(second, replace(HOW, seed=seed + 1), with_slope=False),
            sample(first, replace(HOW, seed=seed), with_slope=False),
        )
    return rows


def test_of_months_like_the_reference_about_as_many_fail_as_the_level_says() -> None:
    tested = [drop_verdict(month(number, 1.0), "m", LEVEL) for number in range(NUM_MONTHS)]
    assert {len(one.tested) for one in tested} == {2 * len(TASKS)}
    failed = sum(bool(one.worse) for one in tested)
    # Of 100 at 5 % each, 12 or more are expected 4 times in 1,000.
    assert failed < 12, failed


@pytest.mark.parametrize(("signal", "at_least"), [(0.4, 12), (0.0, 19)])
def test_of_months_that_are_worse_most_fail(signal: float, at_least: int) -> None:
    failed = sum(bool(drop_verdict(month(number, signal), "m", LEVEL).worse) for number in range(20))
    assert failed >= at_least, failed
