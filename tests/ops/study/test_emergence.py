"""What emerges along a trajectory, planted: comprehension that rises, AUROC that does not or does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.study import emergence
from lang1_assets.ops.study.cells import Trajectory
from lang1_assets.ops.study.evidence import judge
from tests.ops.study.planted import studied

TOKENS = (500_000, 1_000_000, 1_500_000, 2_000_000)
COMPREHENSION, ZERO_SHOT, NEAR = emergence.QUESTIONS


def row(name: str, tokens: int, value: float, reach: float) -> dict[str, Any]:
    return {
        "name": name,
        "tokens": tokens,
        "value": value,
        "low": value - reach,
        "high": value + reach,
        "n": 500,
        "num_events": 120,
        "chance": 0.5,
    }


def trajectory(rise: float, reach: float = 0.02, gains: dict[str, dict[str, float]] | None = None) -> Trajectory:
    shares = [(tokens - TOKENS[0]) / (TOKENS[-1] - TOKENS[0]) for tokens in TOKENS]
    rows = [row("comprehension", tokens, 0.5, reach) for tokens in TOKENS]
    for task in ("readmission", "mortality"):
        rows += [row(task, tokens, 0.5 + rise * share, reach) for tokens, share in zip(TOKENS, shares, strict=True)]
    return Trajectory(model="ours", source="trajectory_evaluation/ours", rows=rows, gains=gains or {})


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.1, 0.3, "holds"), (-0.3, -0.1, "does not hold"), (-0.1, 0.1, "cannot tell")]
)
def test_comprehension(low: float, high: float, verdict: str, tmp_path: Path) -> None:
    held = trajectory(0, gains={"comprehension": gain(low, high)})
    judged = judge(COMPREHENSION, studied(tmp_path, {}, trajectories=[held]), "emergence")
    assert judged.verdict == verdict
    assert judged.sources == ("trajectory_evaluation/ours",)


def gain(low: float, high: float) -> dict[str, float]:
    return {"value": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("sciq", "verdict"),
    # Of two sets of questions each has a chance of 1.25 % on a side: 0.001 above 0 at 2.5 % is not enough.
    [((0.1, 0.3), "holds"), ((-0.3, -0.1), "does not hold"), ((0.001, 0.2), "cannot tell")],
)
def test_comprehension_rises_on_each_set_of_questions(sciq: tuple[float, float], verdict: str, tmp_path: Path) -> None:
    held = trajectory(0, gains={"sciq": gain(*sciq), "pubmedqa": gain(0.1, 0.3)})
    judged = judge(COMPREHENSION, studied(tmp_path, {}, trajectories=[held]), "emergence")
    assert judged.verdict == verdict, judged.numbers
    assert [detail["about"] for detail in judged.details] == [
        f"ours, {title}, last checkpoint less first" for title in ("SciQ", "PubMedQA")
    ]


@pytest.mark.parametrize(
    ("rise", "reach", "verdict"),
    [
        (0.0, 0.02, "holds"),
        (-0.2, 0.02, "holds"),
        (0.2, 0.02, "does not hold"),
        (0.0, 0.2, "cannot tell"),
        (0.05, 0.01, "cannot tell"),
    ],
)
def test_zero_shot(rise: float, reach: float, verdict: str, tmp_path: Path) -> None:
    judged = judge(ZERO_SHOT, studied(tmp_path, {}, trajectories=[trajectory(rise, reach)]), "emergence")
    assert judged.verdict == verdict, judged.numbers


def of_tasks(values: dict[str, tuple[float, ...]], reach: float = 0.01) -> Trajectory:
    rows = [
        row(task, tokens, value, reach)
        for task, points in values.items()
        for tokens, value in zip(TOKENS, points, strict=True)
    ]
    return Trajectory(model="ours", source="trajectory_evaluation/ours", rows=rows, gains={})


def test_one_task_that_rises_is_not_hidden_by_others_that_fall(tmp_path: Path) -> None:
    falling = {task: (0.7, 0.6, 0.5, 0.4) for task in ("readmission", "length_of_stay", "comorbidity")}
    held = of_tasks({"mortality": (0.5, 0.6, 0.8, 0.9), **falling})
    judged = judge(ZERO_SHOT, studied(tmp_path, {}, trajectories=[held]), "emergence")
    assert judged.verdict == "does not hold", judged.numbers
    assert [detail["verdict"] for detail in judged.details] == ["does not hold", *["holds"] * 3]


@pytest.mark.parametrize(
    ("value", "reach", "verdict"),
    [(0.75, 0.01, "does not hold"), (0.5, 0.01, "holds"), (0.4, 0.1, "holds"), (0.54, 0.04, "cannot tell")],
)
def test_what_is_always_far_above_chance_is_not_close_to_it(
    value: float, reach: float, verdict: str, tmp_path: Path
) -> None:
    held = of_tasks({"readmission": (value,) * 4, "mortality": (0.4,) * 4}, reach)
    judged = judge(NEAR, studied(tmp_path, {}, trajectories=[held]), "emergence")
    assert judged.verdict == verdict, judged.numbers


@pytest.mark.parametrize(("events", "verdict"), [(4, "cannot tell"), (5, "holds")])
def test_a_handful_of_deaths_is_named_and_not_judged(events: int, verdict: str, tmp_path: Path) -> None:
    """Resampled notes with three deaths in them give an interval that knows nothing, and may have no width."""
    held = of_tasks({"readmission": (0.5,) * 4, "mortality": (0.5,) * 4}, reach=0.0)
    rows = [{**row, "num_events": events} if row["name"] == "mortality" else row for row in held.rows]
    for question in (ZERO_SHOT, NEAR):
        judged = judge(question, studied(tmp_path, {}, trajectories=[replace(held, rows=rows)]), "emergence")
        assert judged.verdict == verdict, judged.numbers
        assert ("score more notes" in judged.numbers) == (verdict == "cannot tell")


def test_one_checkpoint_above_chance_is_enough(tmp_path: Path) -> None:
    held = of_tasks({"readmission": (0.5, 0.9, 0.5, 0.5)})
    assert judge(NEAR, studied(tmp_path, {}, trajectories=[held]), "emergence").verdict == "does not hold"


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.5, 0.7])
def test_a_slope_s_interval_covers_where_near_checkpoints_err_alike(correlation: float) -> None:
    """AR(1) errors tilt a slope more than independent ones of the same size do."""
    rng = np.random.default_rng(8)
    num, error, missed = 8, 0.03, 0
    for _ in range(600):
        errors = [rng.normal()]
        for _ in range(num - 1):
            errors.append(correlation * errors[-1] + np.sqrt(1 - correlation**2) * rng.normal())
        rows = [
            row("readmission", 1000 * (place + 1), 0.5 + error * one, 1.959963984540054 * error)
            for place, one in enumerate(errors)
        ]
        value, deviation = emergence.slope(rows)
        missed += abs(value) > 1.959963984540054 * deviation
    assert missed / 600 <= 0.065


def test_without_a_trajectory_or_questions_nothing_is_told(tmp_path: Path) -> None:
    for question in (COMPREHENSION, ZERO_SHOT, NEAR):
        judged = judge(question, studied(tmp_path, {}), "emergence")
        assert judged.verdict == "cannot tell"
        assert "trajectory_evaluation/ours was not evaluated" in judged.numbers
    without = judge(COMPREHENSION, studied(tmp_path, {}, trajectories=[trajectory(0)]), "emergence")
    assert "one checkpoint, or no questions" in without.numbers


@given(
    st.lists(st.tuples(st.floats(0.3, 0.9), st.floats(0.01, 0.2)), min_size=3, max_size=6),
    st.integers(1, 10_000),
)
def test_the_slope_is_that_of_weighted_least_squares(points: list[tuple[float, float]], step: int) -> None:
    rows = [row("readmission", step * (place + 1), value, reach) for place, (value, reach) in enumerate(points)]
    x = np.linspace(0, 1, len(points))
    errors = np.array([reach for _, reach in points]) / 1.959963984540054
    design = np.column_stack([np.ones(len(x)), x]) / errors[:, None]
    inverse = np.linalg.inv(design.T @ design)
    expected = inverse @ design.T @ (np.array([value for value, _ in points]) / errors)
    value, error = emergence.slope(rows)
    assert value == pytest.approx(expected[1], abs=1e-9)
    # Independent errors are one of those that are allowed for.
    assert error >= np.sqrt(inverse[1, 1]) - 1e-12
    weights = (inverse @ design.T / errors)[1] * errors
    slow = [
        sum(weights[i] * weights[j] * rho ** abs(i - j) for i in range(len(x)) for j in range(len(x)))
        for rho in emergence.CORRELATIONS
    ]
    assert error == pytest.approx(np.sqrt(max(slow)))


def test_figures_have_a_line_a_variant_and_a_panel_a_task(tmp_path: Path) -> None:
    comprehension, zero_shot = emergence.figures(studied(tmp_path, {}, trajectories=[trajectory(0.1)]))
    assert [point.x for point in comprehension.points] == list(TOKENS)
    assert {point.panel for point in zero_shot.points} == {"30-day readmission", "In-hospital mortality"}
    assert emergence.figures(studied(tmp_path, {})) == ()


def test_each_set_of_questions_has_a_figure_with_its_own_chance(tmp_path: Path) -> None:
    held = trajectory(0.1)
    asked = [{**row("pubmedqa", tokens, 0.4, 0.1), "chance": 1 / 3} for tokens in TOKENS]
    drawn = emergence.figures(studied(tmp_path, {}, trajectories=[replace(held, rows=[*asked, *held.rows])]))
    assert [(figure.paper, figure.title, figure.chance) for figure in drawn] == [
        ("Fig. 3a", "Comprehension along pretraining", 0.5),
        ("Fig. 3a", "PubMedQA along pretraining", 1 / 3),
        ("Fig. 3b", "Zero-shot prediction along pretraining", 0.5),
    ]
