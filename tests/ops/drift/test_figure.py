"""Which numbers a picture shows, and what is marked in it."""

from typing import Any

import pytest

from lang1_assets.ops.drift import figure
from lang1_assets.ops.drift.rows import AUROC, EXPECTED, GAP, NUM_NOTES, OBSERVED, UNSEEN_WORDS
from tests.ops.drift.made import made_row


def test_a_chart_begins_with_the_reference() -> None:
    rows = [
        made_row(UNSEEN_WORDS, 0.02, month="2025-02", reference=0.01, reference_low=0.005, reference_high=0.015),
        made_row(UNSEEN_WORDS, 0.03, month="2025-01", reference=0.011, reference_low=0.005, reference_high=0.015),
        made_row(UNSEEN_WORDS, None, month="2025-02", task="mortality", left_out="no notes"),
    ]
    drawn = figure.inputs_figure(rows, UNSEEN_WORDS)
    assert [(point.series, point.x, point.value) for point in drawn.points] == [
        ("30-day readmission", "reference", 0.01),
        ("30-day readmission", "2025-01", 0.03),
        ("30-day readmission", "2025-02", 0.02),
        ("In-hospital mortality", "2025-02", None),
    ]
    assert (drawn.points[0].low, drawn.points[0].high) == (0.005, 0.015)
    assert drawn.points[3].note == "no notes"


def test_numbers_without_a_reference_have_none_in_their_chart() -> None:
    drawn = figure.inputs_figure([made_row(NUM_NOTES, 100)], NUM_NOTES)
    assert [point.x for point in drawn.points] == ["2025-01"]
    assert drawn.caption == ""


def test_what_is_worse_is_marked_and_the_reference_is_the_dashed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        figure, "drift_picture", lambda rows, title, **options: seen.update(rows=rows, **options) or b""
    )
    rows = [
        made_row(AUROC, 0.6, month="2025-01", reference=0.8, low=0.5, high=0.7, p_value=0.0001),
        made_row(GAP, 0.0, month="2025-01", reference=0.0, p_value=1.0),
        made_row(OBSERVED, 0.3, month="2025-01", low=0.2, high=0.4),
        made_row(EXPECTED, 0.25, month="2025-01"),
        made_row(AUROC, 0.81, month="2025-02", reference=0.8, p_value=0.6),
        made_row(AUROC, None, month="2025-03", left_out="one class only"),
    ]
    figure.performance_picture(rows, "joint", "ours", 0.01, is_synthetic=True, wide=True)
    whole, *months = seen["rows"]
    assert (whole["split"], whole["month"], whole["value"]) == ("test", "all", 0.8)
    assert [(one["month"], one["value"], one["is_drop"]) for one in months] == [
        ("2025-01", 0.6, True),
        ("2025-02", 0.81, False),
        ("2025-03", None, False),
    ]
    assert (months[0]["observed"], months[0]["observed_low"], months[0]["predicted"]) == (0.3, 0.2, 0.25)
    assert months[1]["observed"] is None
    assert seen["reference"] == "the test that it was put in service with"


def test_pictures_are_drawn_of_few_and_of_many_months() -> None:
    for number in (1, 14):
        rows = [
            made_row(statistic, 0.5 + 0.01 * month, month=f"2025-{month % 12 + 1:02}", low=0.4, high=0.8)
            for month in range(number)
            for statistic in (AUROC, UNSEEN_WORDS, NUM_NOTES, OBSERVED, EXPECTED)
        ]
        assert figure.performance_picture(rows, "joint", "ours", 0.01, is_synthetic=True, wide=False)[:4] == b"\x89PNG"
        assert figure.inputs_picture(rows, "notes", is_synthetic=True, wide=True)[:4] == b"\x89PNG"
