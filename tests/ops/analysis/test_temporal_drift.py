"""A model that gets worse in a month is found, one that does not is left in peace; small months are named."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops.analysis.groups import Measuring
from lang1_assets.ops.analysis.temporal_drift import WHOLE, drift_rows
from tests.ops.analysis.notes import HOW, scored


def two_splits(signal=2.0, seed=0, task="readmission", n=900):
    reference = scored(n, task=task, split="test", first_day=datetime(2015, 1, 1), seed=seed)
    later = scored(n, task=task, split="temporal_2024", signal=signal, seed=seed + 1)
    return pl.concat([reference[0], later[0]]), pl.concat([reference[1], later[1]])


def test_whole_splits_then_the_months_after_the_reference():
    rows = drift_rows(*two_splits(), "joint", HOW)
    assert [(row["split"], row["month"]) for row in rows[:2]] == [("test", WHOLE), ("temporal_2024", WHOLE)]
    months = rows[2:]
    assert [row["month"] for row in months] == [f"2024-{month:02}" for month in range(1, 13)]
    assert sum(row["n"] for row in months) == 900
    assert {row["split"] for row in months} == {"temporal_2024"}


def test_a_month_s_prevalence_and_calibration_are_those_of_its_notes():
    predictions, examples = two_splits()
    row = next(row for row in drift_rows(predictions, examples, "joint", HOW) if row["month"] == "2024-05")
    notes = examples.filter(pl.col("prediction_time").dt.strftime("%Y-%m") == "2024-05")["note_id"]
    held = predictions.filter(pl.col("note_id").is_in(notes.to_list()))
    predicted = np.array(held["probabilities"].to_list())[:, 1]
    assert row["n"] == len(held)
    assert row["observed"] == pytest.approx(held["label"].mean())
    assert row["predicted"] == pytest.approx(predicted.mean())
    assert row["gap"] == pytest.approx(held["label"].mean() - predicted.mean())
    assert row["observed_low"] < row["observed"] < row["observed_high"]
    assert row["gap_low"] < row["gap"] < row["gap_high"]


def test_a_drop_is_found_in_its_months():
    signal = np.where(np.arange(1800) < 900, 2.0, -0.3)
    rows = drift_rows(*two_splits(signal, n=1800), "joint", HOW)
    dropped = {row["month"] for row in rows if row["is_drop"]}
    assert dropped >= {"2024-08", "2024-09", "2024-10", "2024-11", "2024-12", WHOLE}
    assert not dropped & {"2024-01", "2024-02", "2024-03", "2024-04", "2024-05"}


def test_without_a_drop_warnings_are_rare():
    warned = 0
    for seed in range(30):
        rows = drift_rows(*two_splits(seed=2 * seed, n=600), "joint", HOW)
        warned += any(row["is_drop"] for row in rows)
    assert warned <= 6


def test_a_month_too_small_is_named_and_left_out():
    how = Measuring(min_notes=70, min_events=5, num_resamples=50, seed=0)
    predictions, examples = two_splits()
    rows = drift_rows(predictions, examples, "joint", how)
    small = [row for row in rows if row["n"] < 70]
    assert small
    for row in small:
        assert row["left_out"] == f"{row['n']} notes, fewer than 70"
        assert row["value"] is row["observed"] is row["gap"] is row["p_drop"] is None
        assert not row["is_drop"]


def test_of_several_classes_the_likeliest_is_looked_at():
    predictions, examples = two_splits(task="length_of_stay")
    rows = drift_rows(predictions, examples, "joint", HOW)
    chances = np.array(predictions.filter(split="test")["probabilities"].to_list())
    labels = predictions.filter(split="test")["label"].to_numpy()
    assert rows[0]["observed"] == pytest.approx((chances.argmax(axis=1) == labels).mean())
    assert rows[0]["predicted"] == pytest.approx(chances.max(axis=1).mean())


def test_a_source_without_the_reference_has_months_and_no_verdict():
    rows = drift_rows(*scored(), "joint", HOW)
    assert rows[0]["split"] == "temporal_2024"
    assert all(row["p_drop"] is None and not row["is_drop"] for row in rows)
    assert len(rows) == 13
