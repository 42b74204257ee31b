"""Does the order of events hold, and does the time of writing tell the class?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from lang1_assets.ops.leakage.findings import LeakCheck, LeakLimits, broken_fact, cannot_tell
from lang1_assets.ops.leakage.groups import SIGNIFICANCE, enough, fisher_p, hanley_interval, judged_classes
from lang1_assets.ops.metrics import Floats, pairwise_auroc
from lang1_assets.ops.tasks import Task


def hours_between(later: str, earlier: str) -> pl.Expr:
    return (pl.col(later) - pl.col(earlier)).dt.total_microseconds() / 3.6e9


def offset_hours(task: Task) -> pl.Expr:
    """When a note was written: since discharge for a discharge note, since admission for an H&P."""
    return hours_between("written_time", "discharge_time" if task.note_type == "discharge" else "admit_time")


def offset_limits(task: Task, limits: LeakLimits) -> tuple[float, float]:
    """Hours between which `offset_hours` must lie; a discharge note may be begun at any time of the stay."""
    if task.note_type == "discharge":
        return -math.inf, limits.discharge_note_max_hours_after_discharge
    return -limits.hp_max_hours_before_admission, limits.hp_max_hours_after_admission


def note_within_its_window(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """An H&P lies around admission and strictly before discharge, a discharge note not too long after discharge."""
    low, high = offset_limits(task, limits)
    is_inside = offset_hours(task).is_between(low, high)
    if task.note_type != "discharge":
        is_inside &= pl.col("written_time") < pl.col("discharge_time")
    return broken_fact("note_within_its_window", notes, ~is_inside, "were written outside their window")


def note_not_after_index_time(task: Task, notes: pl.DataFrame) -> LeakCheck:
    """The index time is where the task puts it, and no H&P is younger.

    A discharge note is read at discharge although it may be signed some hours later: those are counted here, and
    `note_within_its_window` says which are too late.
    """
    num_later = int(notes.select((pl.col("written_time") > pl.col("prediction_time")).sum()).item())
    if task.note_type == "discharge":
        is_broken, what = (
            pl.col("prediction_time") != pl.col("discharge_time"),
            "have an index time other than discharge",
        )
    else:
        is_broken, what = pl.col("written_time") > pl.col("prediction_time"), "were written after their index time"
    return broken_fact("note_not_after_index_time", notes, is_broken, what, num_written_after_index_time=num_later)


def outcome_after_index_time(notes: pl.DataFrame) -> LeakCheck:
    """The outcome became known later than the index time, wherever it is known when."""
    name, known = "outcome_after_index_time", notes.filter(pl.col("outcome_time").is_not_null())
    if known.is_empty():
        return cannot_tell(name, "error", "no note has an outcome time")
    return broken_fact(
        name,
        known,
        pl.col("outcome_time") <= pl.col("prediction_time"),
        "have an outcome that was known at their index time",
        num_unknown=len(notes) - len(known),
    )


def no_label_where_follow_up_is_censored(notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """Who was not readmitted was watched for the whole target window; positives too if `strict_follow_up`."""
    name = "no_label_where_follow_up_is_censored"
    if limits.has_shifted_dates and notes["follow_up_end"].null_count() == len(notes):
        return cannot_tell(name, "error", "the source does not say until when anyone was followed (shifted dates)")
    window_end = pl.col("prediction_time") + pl.duration(days=limits.readmission_days)
    is_complete = (window_end <= pl.col("follow_up_end")).fill_null(False)
    is_known = pl.lit(False) if limits.strict_follow_up else pl.col("label") > 0
    return broken_fact(
        name,
        notes,
        ~(is_complete | is_known),
        f"have a label without {limits.readmission_days} days of follow-up",
    )


def input_window_identical_for_both_classes(task: Task, notes: pl.DataFrame, limits: LeakLimits) -> LeakCheck:
    """When a note was written says nothing of its class, and the classes keep the same limits.

    Each class against the rest: AUROC of the offset alone with a Hanley-McNeil interval, and the Kolmogorov-Smirnov distance,
    which also sees a class that is both earlier and later. An error when one class breaks the limits more often than the
    rest (Fisher's exact test); that notes break them at all is for `note_within_its_window`.

    A stay that ends within the hours of its H&P cuts its own input window short, whoever chooses the note: H&P are compared
    among the stays that were longer. The AUROC among all stays is reported beside (`auroc_of_all_stays`).
    """
    name = "input_window_identical_for_both_classes"
    frame = notes.select("label", hours=offset_hours(task), stay=hours_between("discharge_time", "admit_time"))
    frame = frame.drop_nulls("hours")
    rows = timing_rows(task, frame, limits)
    if not rows:
        return cannot_tell(name, "warn", f"fewer than {limits.min_notes} timed notes in a class or in the rest")
    num_tests = len(judged_classes(task))
    uneven = [row for row in rows if row["p_outside"] < SIGNIFICANCE / num_tests]
    of_all = farthest(rows)
    if task.note_type != "discharge":
        longer = frame.filter(pl.col("stay") > limits.hp_max_hours_after_admission)
        rows = timing_rows(task, longer, limits) or rows
    telling = [row for row in rows if tells_class(row, num_tests, limits)]
    worst = farthest(rows)
    numbers = {
        "num_notes": len(frame),
        "num_without_time": len(notes) - len(frame),
        "auroc": worst["auroc"],
        "auroc_of_all_stays": of_all["auroc"],
    }
    return LeakCheck(
        name=name,
        passed=not (uneven or telling),
        severity="error" if uneven else "warn",
        message=f"AUROC of the time of writing alone {worst['auroc']:.3f} [{worst['low']:.3f}, {worst['high']:.3f}]"
        + (f"; class {uneven[0]['label']} keeps other limits than the rest" if uneven else ""),
        numbers=numbers,
        table=rows,
    )


def farthest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The class whose time of writing tells it best."""
    return max(rows, key=lambda row: abs(row["auroc"] - 0.5))


def timing_rows(task: Task, frame: pl.DataFrame, limits: LeakLimits) -> tuple[dict[str, Any], ...]:
    """A row for each class that has, as its rest has, enough notes: `label` and `hours` in, what `timing_row` says out."""
    hours, labels = frame["hours"].to_numpy(), frame["label"].to_numpy()
    low, high = offset_limits(task, limits)
    outside, confidence = (hours < low) | (hours > high), 1 - 0.05 / len(judged_classes(task))
    groups = ((k, labels == k) for k in range(task.num_classes))
    return tuple(timing_row(hours, outside, group, k, confidence) for k, group in groups if enough(group, limits))


def timing_row(
    hours: Floats, outside: NDArray[np.bool_], is_class: NDArray[np.bool_], label: int, confidence: float
) -> dict[str, Any]:
    value = pairwise_auroc(is_class, hours)
    low, high = hanley_interval(value, int(is_class.sum()), int((~is_class).sum()), confidence)
    distance = stats.ks_2samp(hours[is_class], hours[~is_class], method="asymp")
    return {
        "label": label,
        "num_notes": int(is_class.sum()),
        "least_hours": float(hours[is_class].min()),
        "most_hours": float(hours[is_class].max()),
        "auroc": value,
        "low": low,
        "high": high,
        "distance": float(distance.statistic),
        "p_distance": float(distance.pvalue),
        "p_outside": fisher_p(outside, is_class),
    }


def tells_class(row: dict[str, Any], num_tests: int, limits: LeakLimits) -> bool:
    least, most = limits.timing_auroc
    is_apart = row["distance"] > limits.timing_distance and row["p_distance"] < SIGNIFICANCE / num_tests
    return bool(row["low"] > most or row["high"] < least or is_apart)
