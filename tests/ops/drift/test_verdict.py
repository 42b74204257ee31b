"""Holm's adjustment, which month is tested, what matters, and what a person is told."""

import numpy as np
import pytest

from lang1_assets.ops.drift.rows import AUROC, GAP, NUM_NOTES, UNSEEN_WORDS, WORD_DISTANCE, WORDS_MEDIAN
from lang1_assets.ops.drift.verdict import (
    Material,
    drop_verdict,
    drop_words,
    inputs_verdict,
    inputs_words,
    newest_of,
    worse_by_month,
)
from tests.ops.drift.made import made_row

MATERIAL = Material(
    words=0.2, tokens_per_word=0.1, unseen_words=0.01, word_distance=0.05, score_stability=0.1, notes=2.0
)


def compared(task: str, month: str, p_value: float | None, statistic: str = AUROC, **more) -> dict:
    return made_row(statistic, 0.6, month=month, task=task, p_value=p_value, reference=0.8, **more)


def test_the_newest_month_of_each_task_is_compared() -> None:
    """A label with 30 days of follow-up comes a month later."""
    rows = [
        compared("readmission", "2025-01", 0.0001),
        compared("readmission", "2025-02", 0.2),
        compared("mortality", "2025-02", 0.0001),
        compared("mortality", "2025-03", 0.0002),
        compared("mortality", "2025-03", 0.3, GAP),
    ]
    verdict = drop_verdict(rows, "m1", 0.01)
    assert [(one.row["task"], one.row["month"], one.row["statistic"]) for one in verdict.tested] == [
        ("readmission", "2025-02", AUROC),
        ("mortality", "2025-03", AUROC),
        ("mortality", "2025-03", GAP),
    ]
    assert [one.row["task"] for one in verdict.worse] == ["mortality"]
    assert verdict.tested[1].p_adjusted == pytest.approx(0.0006)


def test_tests_share_their_level() -> None:
    rows = [compared(task, "2025-01", 0.004) for task in ("readmission", "mortality", "comorbidity")]
    assert not drop_verdict(rows, "m1", 0.01).worse
    assert drop_verdict(rows[:1], "m1", 0.01).worse


def test_months_that_another_model_scored_are_not_the_model_s() -> None:
    rows = [compared("readmission", "2025-02", 0.00001, model="m0"), compared("readmission", "2025-01", 0.5)]
    verdict = drop_verdict(rows, "m1", 0.01)
    assert [one.row["month"] for one in verdict.tested] == ["2025-01"]
    assert not verdict.worse
    assert drop_verdict(rows, "m0", 0.01).worse
    nothing = drop_verdict(rows, "m2", 0.01)
    assert drop_words(nothing, "m2").startswith("Nothing was tested")


def test_a_newest_month_that_cannot_be_measured_is_named_and_no_older_one_takes_its_place() -> None:
    rows = [
        compared("mortality", "2025-01", 0.00001),
        made_row(AUROC, None, month="2025-02", task="mortality", left_out="one class only"),
    ]
    verdict = drop_verdict(rows, "m1", 0.01)
    assert not verdict.tested
    assert "Left out: In-hospital mortality 2025-02: one class only." in drop_words(verdict, "m1")


def test_the_words_propose_retraining_with_the_numbers() -> None:
    rows = [compared("mortality", "2025-03", 0.0002, low=0.55, high=0.65), compared("readmission", "2025-02", 0.9)]
    said = drop_words(drop_verdict(rows, "m1", 0.01), "ours (m1)")
    assert said.startswith(
        "Retraining proposed. In-hospital mortality 2025-03: AUROC 0.600 (0.550 to 0.650) against 0.800, p 0.0004."
    )
    assert (
        "newest month of 2 task(s), scored by ours (m1), against its reference; 2 tests at 1.0% together (Holm)" in said
    )


@pytest.mark.parametrize(("statistic", "reach"), [(AUROC, 2.3263), (GAP, 2.5758)])
def test_the_least_change_that_would_have_been_found(statistic: str, reach: float) -> None:
    """Simulated: of changes of that size about 80 % are found; a gap may grow to either side."""
    row = compared("mortality", "2025-03", 0.5, statistic, standard_error=0.02)
    (one,) = drop_verdict([row], "m1", 0.01).tested
    assert one.least_found == pytest.approx(0.02 * (reach + 0.8416), rel=1e-3)
    changes = np.random.default_rng(0).normal(-one.least_found, 0.02, 20_000)
    assert (changes / 0.02 < -reach).mean() == pytest.approx(0.8, abs=0.01)


def test_tests_that_share_a_level_find_less() -> None:
    rows = [compared(task, "2025-03", 0.5, standard_error=0.02) for task in ("mortality", "comorbidity")]
    found = [one.least_found for one in drop_verdict(rows, "m1", 0.01).tested]
    assert found == pytest.approx([0.02 * (2.5758 + 0.8416)] * 2, rel=1e-3)


def test_each_month_is_marked_by_itself() -> None:
    rows = [
        compared("mortality", "2025-01", 0.004),
        compared("mortality", "2025-02", 0.004),
        compared("mortality", "2025-02", 0.9, GAP),
    ]
    assert worse_by_month(rows, 0.005) == {("m1", "2025-01", "mortality", AUROC)}
    assert len(worse_by_month(rows, 0.01)) == 2


def beyond(statistic: str, value: float, reference: float, p_value: float = 1 / 201) -> dict:
    return made_row(statistic, value, reference=reference, reference_low=0.0, reference_high=0.0, p_value=p_value)


@pytest.mark.parametrize(
    ("row", "is_changed"),
    [
        (beyond(WORDS_MEDIAN, 130, 100), True),
        (beyond(WORDS_MEDIAN, 70, 100), True),
        (beyond(WORDS_MEDIAN, 110, 100), False),
        (beyond(WORDS_MEDIAN, 130, 100, p_value=2 / 201), False),
        (beyond(UNSEEN_WORDS, 0.03, 0.01), True),
        (beyond(UNSEEN_WORDS, 0.015, 0.01), False),
        (beyond(WORD_DISTANCE, 0.3, 0.2), True),
        (made_row(UNSEEN_WORDS, None, left_out="no notes"), False),
    ],
)
def test_a_change_is_one_beyond_chance_that_matters(row: dict, is_changed: bool) -> None:
    found = inputs_verdict([row], MATERIAL, 200)
    assert bool(found.changed) is is_changed
    assert (found.num_tested == 1) is (row["p_value"] is not None)
    assert found.chance == pytest.approx(found.num_tested / 201)


def volumes(*counts: int) -> list[dict]:
    return [made_row(NUM_NOTES, count, month=f"2025-{number + 1:02}") for number, count in enumerate(counts)]


@pytest.mark.parametrize(
    ("counts", "usual"),
    [
        ((100, 110, 120, 40), 110),
        ((100, 110, 120, 60), None),
        ((100, 110, 120, 300), 110),
        ((100, 10), None),
        ((), None),
    ],
)
def test_half_an_export_is_noticed(counts: tuple[int, ...], usual: float | None) -> None:
    found = inputs_verdict(volumes(*counts), MATERIAL, 200).volumes
    assert list(found.values()) == ([] if usual is None else [usual])
    if usual is not None:
        assert "2025-04: usually 110 notes" in inputs_words(inputs_verdict(volumes(*counts), MATERIAL, 200))


def test_newest_of_nothing_is_nothing() -> None:
    assert newest_of([]) == []
    said = inputs_words(inputs_verdict([], MATERIAL, 200))
    assert said.startswith("0 numbers of the newest months")
