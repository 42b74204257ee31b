"""Claims about labels, groups of patients and patients seen before, from rows of the analyses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from lang1_assets.ops.study import label_claims
from lang1_assets.ops.study.evidence import judge
from lang1_assets.ops.study.label_claims import between, newcombe
from lang1_assets.ops.tasks import TASKS
from tests.ops.study.planted import studied

DEAD, LONG = label_claims.DEPENDENCE_QUESTIONS
(STRATA,) = label_claims.STRATA_QUESTIONS
OVERLAP, OTHERS = label_claims.OVERLAP_QUESTIONS
STAYS = TASKS["length_of_stay"].options


def dependence(died: tuple[int, ...], survived: tuple[int, ...]) -> list[dict[str, Any]]:
    """Rows of `label_dependence` from how many of the dead and of the survivors stayed how long."""
    rows = []
    for condition, counts in (("died", died), ("survived", survived)):
        for option, count in zip(STAYS, counts, strict=True):
            rows.append(
                {
                    "panel": "stay given death",
                    "condition": condition,
                    "outcome": option,
                    "n": sum(counts),
                    "count": count,
                }
            )
    for place, option in enumerate(STAYS):
        both = died[place] + survived[place]
        rows.append(
            {"panel": "death given stay", "condition": option, "outcome": "died", "n": both, "count": died[place]}
        )
    return rows


@pytest.mark.parametrize(
    ("died", "survived", "verdict"),
    [
        ((90, 10, 10, 90), (1000, 1000, 1000, 1000), "holds"),
        ((10, 90, 90, 10), (1000, 1000, 1000, 1000), "does not hold"),
        ((50, 50, 50, 50), (1000, 1000, 1000, 1000), "cannot tell"),
    ],
)
def test_the_dead(died: tuple[int, ...], survived: tuple[int, ...], verdict: str, tmp_path: Path) -> None:
    judged = judge(DEAD, studied(tmp_path, {}, dependence=dependence(died, survived)), "label_dependence")
    assert judged.verdict == verdict, judged.numbers


@pytest.mark.parametrize(
    ("died", "survived", "verdict"),
    [
        ((200, 10, 10, 200), (10_000, 1000, 1000, 10_000), "holds"),
        ((200, 10, 10, 800), (10_000, 1000, 1000, 10_000), "does not hold"),
        ((2, 10, 10, 2), (100, 1000, 1000, 100), "cannot tell"),
    ],
)
def test_long_stays(died: tuple[int, ...], survived: tuple[int, ...], verdict: str, tmp_path: Path) -> None:
    judged = judge(LONG, studied(tmp_path, {}, dependence=dependence(died, survived)), "label_dependence")
    assert judged.verdict == verdict, judged.numbers


def test_without_labels_nothing_is_told(tmp_path: Path) -> None:
    for question in (DEAD, LONG, STRATA, OVERLAP, OTHERS):
        assert judge(question, studied(tmp_path, {}), "x").verdict == "cannot tell"


def test_a_difference_of_shares_is_newcombe_s() -> None:
    """His table II (1998): 56/70 less 48/80, method 10; and of the other order the negative."""
    assert [round(number, 4) for number in newcombe((56, 70), (48, 80))] == [0.2, 0.0524, 0.3339]
    value, low, high = newcombe((48, 80), (56, 70))
    assert [round(number, 4) for number in (value, low, high)] == [-0.2, -0.3339, -0.0524]
    assert [round(number, 4) for number in newcombe((0, 10), (0, 10))] == [0.0, -0.2775, 0.2775]


def strata(values: tuple[float, ...], error: float) -> list[dict[str, Any]]:
    return [
        {
            "task": "readmission",
            "mode": "joint",
            "attribute": "age_band",
            "group": str(place),
            "value": value,
            "standard_deviation": 0.001,
            "standard_deviation_by_patient": error,
            "n": 100,
        }
        for place, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("values", "error", "verdict"),
    [
        ((0.6, 0.7, 0.8, 0.9), 0.01, "holds"),
        ((0.70, 0.7001, 0.6999, 0.70), 0.002, "does not hold"),
        ((0.6, 0.7, 0.8, 0.7), 0.1, "cannot tell"),
    ],
)
def test_groups(values: tuple[float, ...], error: float, verdict: str, tmp_path: Path) -> None:
    judged = judge(STRATA, studied(tmp_path, {}, strata={"strata/ours": strata(values, error)}), "strata")
    assert judged.verdict == verdict, judged.numbers


def test_groups_without_an_error_by_patient_are_not_judged(tmp_path: Path) -> None:
    """Rows of an older analysis: by note they would be more evidence than they are."""
    rows = [{**row, "standard_deviation_by_patient": None} for row in strata((0.6, 0.7, 0.8, 0.9), 0.01)]
    judged = judge(STRATA, studied(tmp_path, {}, strata={"strata/ours": rows}), "strata")
    assert judged.verdict == "cannot tell"


def test_the_deviation_between_groups_solves_the_q_profile() -> None:
    rng = np.random.default_rng(2)
    values, errors = rng.normal(0.7, 0.05, 6), rng.uniform(0.01, 0.03, 6)
    goal = float(chi2.ppf(0.5, 5))
    found = between(values, errors, goal)
    weights = 1 / (errors**2 + found**2)
    assert float((weights * (values - np.average(values, weights=weights)) ** 2).sum()) == pytest.approx(goal)
    assert between(np.full(4, 0.7), np.full(4, 0.1), 3.0) == 0.0
    # Two groups allow any deviation at a confidence of 99 %: the most that there can be.
    assert between(np.array([0.6, 0.9]), np.full(2, 0.01), float(chi2.ppf(0.005, 1))) == 0.5


def overlap(low: float, high: float, share_seen: float = 0.3) -> list[dict[str, Any]]:
    return [
        {
            "task": task,
            "mode": "joint",
            "group": "all patients",
            "n": 900,
            "difference_value": (low + high) / 2,
            "difference_low": low,
            "difference_high": high,
            "share_seen": share_seen,
        }
        for task in ("readmission", "mortality", "length_of_stay")
    ]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.004, 0.006, "holds"),
        (0.02, 0.04, "does not hold"),
        (-0.04, -0.02, "does not hold"),
        (0.005, 0.02, "cannot tell"),
    ],
)
def test_patients_seen_before(low: float, high: float, verdict: str, tmp_path: Path) -> None:
    rows = {"patient_overlap/ours": overlap(low, high)}
    held = studied(tmp_path, {}, overlap=rows)
    judged = judge(OVERLAP, held, "patient_overlap")
    assert judged.verdict == verdict, judged.numbers
    assert [detail["level"] for detail in judged.details] == [pytest.approx(1 - 0.05 / 3)] * 3


def test_nobody_seen_before_is_nobody_to_leave_out(tmp_path: Path) -> None:
    """Where ids are new in every year no patient is known again, and the difference is 0 whatever the model remembers."""
    held = studied(tmp_path, {}, overlap={"patient_overlap/ours": overlap(0.0, 0.0, share_seen=0.0)})
    judged = judge(OVERLAP, held, "patient_overlap")
    assert judged.verdict == "cannot tell"
    assert "nobody to leave out" in judged.numbers


def others(age: tuple[float, float], not_white: tuple[float, float]) -> list[dict[str, Any]]:
    columns = {"age_difference": age, "not_white_difference": not_white}
    found = {name: {"value": (low + high) / 2, "low": low, "high": high} for name, (low, high) in columns.items()}
    return [{**row, **found} for row in overlap(-0.01, 0.01)]


@pytest.mark.parametrize(
    ("age", "not_white", "verdict"),
    [
        ((12.0, 14.0), (0.03, 0.07), "holds"),
        ((12.0, 14.0), (-0.07, -0.03), "does not hold"),
        ((-1.0, 14.0), (0.03, 0.07), "cannot tell"),
    ],
)
def test_who_was_seen(age: tuple[float, float], not_white: tuple[float, float], verdict: str, tmp_path: Path) -> None:
    held = studied(tmp_path, {}, overlap={"patient_overlap/ours": others(age, not_white)})
    judged = judge(OTHERS, held, "patient_overlap")
    assert judged.verdict == verdict, judged.numbers
    assert len(judged.details) == 6


def test_an_overlap_that_says_nothing_of_who_was_seen(tmp_path: Path) -> None:
    held = studied(tmp_path, {}, overlap={"patient_overlap/ours": overlap(-0.01, 0.01)})
    assert judge(OTHERS, held, "patient_overlap").verdict == "cannot tell"
