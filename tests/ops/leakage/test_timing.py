"""Notes, index times and outcomes out of order are found, and windows that differ by class."""

import dataclasses
from datetime import datetime

import polars as pl
import pytest

from lang1_assets.ops.leakage.timing import (
    input_window_identical_for_both_classes,
    no_label_where_follow_up_is_censored,
    note_within_its_window,
    outcome_after_index_time,
)
from lang1_assets.ops.tasks import TASKS
from tests.ops.leakage.cohort import LIMITS, POSITIVE, checks_of, failed, hospital, share, where


def test_an_admission_note_outside_its_window() -> None:
    late = pl.col("note_id") == "n-test-0001"
    frame = hospital().with_columns(where(late, "written_time", pl.col("admit_time") + pl.duration(hours=25)))
    frame = frame.with_columns(prediction_time=pl.col("written_time"))
    checks = checks_of(frame)
    assert failed(checks) == {"note_within_its_window": "error"}
    assert "1 of 1,500" in checks["note_within_its_window"].message
    assert "n-test-0001" in checks["note_within_its_window"].message


@pytest.mark.parametrize(("hours", "is_late"), [(24, False), (24.001, True)])
def test_a_discharge_note_may_be_late_by_the_allowed_hours_and_is_counted(hours: float, is_late: bool) -> None:
    late = pl.col("note_id") == "n-train-0002"
    moved = pl.col("discharge_time") + pl.duration(microseconds=int(hours * 3.6e9))
    checks = checks_of(hospital("readmission").with_columns(where(late, "written_time", moved)), "readmission")
    assert failed(checks) == ({"note_within_its_window": "error"} if is_late else {})
    assert checks["note_not_after_index_time"].numbers["num_written_after_index_time"] > 1


def test_an_admission_note_at_discharge_or_without_time_is_outside() -> None:
    frame = hospital().with_columns(
        where(pl.col("note_id") == "n-val-0001", "discharge_time", pl.col("written_time")),
        where(pl.col("note_id") == "n-val-0002", "admit_time", pl.lit(None)),
    )
    assert note_within_its_window(TASKS["mortality"], frame, LIMITS).numbers["num_broken"] == 2


def test_a_note_after_its_index_time() -> None:
    late = pl.col("note_id") == "n-test-0001"
    frame = hospital().with_columns(where(late, "prediction_time", pl.col("written_time") - pl.duration(minutes=1)))
    assert failed(checks_of(frame)) == {"note_not_after_index_time": "error"}


def test_a_discharge_task_that_is_not_indexed_at_discharge() -> None:
    frame = hospital("readmission").with_columns(prediction_time=pl.col("written_time"))
    assert "note_not_after_index_time" in failed(checks_of(frame, "readmission"))


def test_an_outcome_known_at_the_index_time() -> None:
    early = pl.col("note_id") == "n-test-0003"
    frame = hospital().with_columns(where(early, "outcome_time", pl.col("prediction_time")))
    assert failed(checks_of(frame)) == {"outcome_after_index_time": "error"}


def test_an_unknown_outcome_time_is_counted_and_none_at_all_cannot_be_judged() -> None:
    frame = hospital("insurance_denial").with_columns(where(share(0.5), "outcome_time", pl.lit(None)))
    some = outcome_after_index_time(frame)
    assert some.passed
    assert some.numbers["num_unknown"] + some.numbers["num_notes"] == len(frame)
    none = outcome_after_index_time(frame.with_columns(outcome_time=pl.lit(None, pl.Datetime("us"))))
    assert none.passed
    assert none.message.startswith("cannot tell")


def test_a_censored_negative_fails_and_a_censored_positive_only_when_strict() -> None:
    frame = hospital("readmission")
    ends = pl.col("prediction_time") + pl.duration(days=29)
    negative = frame.with_columns(
        where(pl.col("note_id") == frame.filter(label=0)["note_id"][0], "follow_up_end", ends)
    )
    positive = frame.with_columns(
        where(pl.col("note_id") == frame.filter(label=1)["note_id"][0], "follow_up_end", ends)
    )
    expected = {"no_label_where_follow_up_is_censored": "error"}
    assert failed(checks_of(negative, "readmission")) == expected
    assert failed(checks_of(positive, "readmission")) == {}
    strict = dataclasses.replace(LIMITS, strict_follow_up=True)
    assert failed(checks_of(positive, "readmission", strict)) == expected
    unknown = negative.with_columns(follow_up_end=pl.lit(None, pl.Datetime("us")))
    assert not no_label_where_follow_up_is_censored(unknown, LIMITS).passed
    shifted = dataclasses.replace(LIMITS, has_shifted_dates=True)
    assert no_label_where_follow_up_is_censored(unknown, shifted).message.startswith("cannot tell")
    assert not no_label_where_follow_up_is_censored(negative, shifted).passed


@pytest.mark.parametrize("task", ["mortality", "readmission", "length_of_stay"])
def test_a_lead_time_that_differs_by_class(task: str) -> None:
    frame = hospital(task).with_columns(
        where(POSITIVE & share(0.6), "written_time", pl.col("written_time") - pl.duration(hours=15))
    )
    if task != "readmission":
        frame = frame.with_columns(prediction_time=pl.col("written_time"))
    assert failed(checks_of(frame, task)) == {"input_window_identical_for_both_classes": "warn"}


def test_a_class_that_is_both_earlier_and_later_has_no_auroc_but_a_distance() -> None:
    edge = pl.when(pl.col("note_id").hash(1) % 2 == 0).then(-24).otherwise(20)
    hours = pl.when(POSITIVE).then(edge).otherwise(-2)
    frame = hospital().with_columns(written_time=pl.col("admit_time") + pl.duration(hours=hours))
    check = input_window_identical_for_both_classes(TASKS["mortality"], frame, LIMITS)
    assert abs(check.numbers["auroc"] - 0.5) < 0.1
    assert (check.passed, check.severity) == (False, "warn")


def test_a_class_with_a_wider_window_is_an_error() -> None:
    wide = where(POSITIVE & share(0.1), "written_time", pl.col("admit_time") + pl.duration(hours=28))
    frame = hospital().with_columns(wide).with_columns(prediction_time=pl.col("written_time"))
    found = failed(checks_of(frame))
    assert found == {"note_within_its_window": "error", "input_window_identical_for_both_classes": "error"}


def test_short_stays_that_cut_their_own_window_are_no_leak() -> None:
    end = pl.col("admit_time") + pl.duration(hours=6)
    frame = hospital("length_of_stay").with_columns(
        where((pl.col("label") == 0) & share(0.7), "discharge_time", end), outcome_time=pl.lit(datetime(2030, 1, 1))
    )
    kept = frame.filter(pl.col("written_time") < pl.col("discharge_time"))
    checks = checks_of(kept, "length_of_stay")
    assert failed(checks) == {}
    numbers = checks["input_window_identical_for_both_classes"].numbers
    assert numbers["auroc_of_all_stays"] < 0.42
    assert abs(numbers["auroc"] - 0.5) < 0.05
