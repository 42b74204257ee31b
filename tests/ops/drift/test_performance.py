"""Numbers of a month and of its resamples are those of the metrics; a month is worse only where it is."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.drift.performance import Sample, compared, p_worse, performance_rows, sample
from lang1_assets.ops.drift.rows import AUROC, ECE, EXPECTED, GAP, OBSERVED, SLOPE
from lang1_assets.ops.metrics import auroc, calibration_line, positive_ece, top_class_ece
from lang1_assets.ops.results import labels_and_probabilities
from tests.ops.drift.made import HEAD, HOW, predictions


@pytest.mark.parametrize("task", ["readmission", "length_of_stay"])
def test_values_are_those_of_the_metrics(task: str) -> None:
    held = predictions(task=task)
    labels, probabilities = labels_and_probabilities(held)
    values = sample(held, HOW).values
    is_binary = probabilities.shape[1] == 2
    ece = positive_ece if is_binary else top_class_ece
    expected = probabilities[:, 1] if is_binary else probabilities.max(axis=1)
    observed = labels == 1 if is_binary else probabilities.argmax(axis=1) == labels
    assert values[AUROC] == pytest.approx(auroc(labels, probabilities).value)
    assert values[ECE] == pytest.approx(ece(labels, probabilities))
    assert values[SLOPE] == pytest.approx(calibration_line(labels, probabilities).slope, rel=1e-4)
    assert values[OBSERVED] == pytest.approx(observed.mean())
    assert values[EXPECTED] == pytest.approx(expected.mean())
    assert values[GAP] == pytest.approx(observed.mean() - expected.mean())
    assert [values[f"prevalence_{k}"] for k in range(probabilities.shape[1])] == pytest.approx(
        np.bincount(labels, minlength=probabilities.shape[1]) / len(labels)
    )


def test_a_resample_is_of_whole_patients() -> None:
    """Second implementation: the patients of the first resample drawn one by one, their notes laid in a row."""
    held = predictions(80)
    how = replace(HOW, num_resamples=3)
    drawn = sample(held, how).drawn
    patients = sorted(held["subject_id"].unique())
    places = np.random.default_rng(how.seed).integers(0, len(patients), (3, len(patients)))
    for number in range(3):
        rows = pl.concat([held.filter(subject_id=patients[place]) for place in places[number]])
        labels, probabilities = labels_and_probabilities(rows)
        assert drawn[AUROC][number] == pytest.approx(auroc(labels, probabilities).value)
        assert drawn[GAP][number] == pytest.approx((labels - probabilities[:, 1]).mean())


def one_number(values: list[float], value: float) -> Sample:
    return Sample(
        n=9,
        num_events=9,
        left_out=None,
        values={AUROC: value, GAP: value},
        drawn=dict.fromkeys((AUROC, GAP), np.array(values)),
    )


DRAWN = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5, math.nan]), min_size=1, max_size=12)


@given(DRAWN, DRAWN)
def test_p_values_are_shares_of_all_pairs(first: list[float], second: list[float]) -> None:
    found = compared(one_number(first, 0.3), one_number(second, 0.4), AUROC)
    differences = [a - b for a in first for b in second if not (math.isnan(a) or math.isnan(b))]
    if not differences:
        assert math.isnan(found.p_lower)
        assert math.isnan(found.p_other)
        return
    not_below = (sum(d >= 0 for d in differences) + 1) / (len(differences) + 1)
    not_above = (sum(d <= 0 for d in differences) + 1) / (len(differences) + 1)
    assert found.p_lower == pytest.approx(min(1.0, not_below))
    assert found.p_other == pytest.approx(min(1.0, 2 * min(not_below, not_above)))


def test_the_standard_error_of_the_difference_is_that_of_all_pairs() -> None:
    month, reference = sample(predictions(seed=1), HOW), sample(predictions(seed=2), replace(HOW, seed=2))
    pairs = np.subtract.outer(month.drawn[AUROC], reference.drawn[AUROC])
    assert compared(month, reference, AUROC).standard_error == pytest.approx(pairs.std(), rel=0.01)


def test_a_worse_model_is_found_and_a_better_one_is_not() -> None:
    good, bad = sample(predictions(600, signal=2.0), HOW), sample(predictions(600, seed=5, signal=0.5), HOW)
    assert p_worse(bad, good, AUROC) < 0.001
    assert p_worse(good, bad, AUROC) > 0.99


def shifted(held: pl.DataFrame, by: float) -> pl.DataFrame:
    """The same ranks, probabilities that are too high or too low."""
    inner = pl.col("probabilities").list.get(1).clip(0.001, 0.999)
    odds = (inner / (1 - inner)).log() + by
    moved = 1 / (1 + (-odds).exp())
    return held.with_columns(probabilities=pl.concat_list(1 - moved, moved))


def calibrated(n: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    chances = rng.beta(1, 4, n)
    base = predictions(n, seed=seed)
    return base.with_columns(
        label=pl.Series((rng.random(n) < chances).astype(np.int32)),
        probabilities=pl.Series(np.column_stack([1 - chances, chances]).tolist()),
    )


def test_a_model_that_promises_too_much_is_found_although_it_ranks_as_before() -> None:
    reference, month = calibrated(900, 1), calibrated(600, 2)
    first, right, wrong = (
        sample(held, replace(HOW, seed=seed)) for seed, held in enumerate((reference, month, shifted(month, 0.8)))
    )
    assert wrong.values[AUROC] == pytest.approx(right.values[AUROC])
    assert p_worse(wrong, first, GAP) < 0.001
    assert p_worse(right, first, GAP) > 0.05
    # Nearer to 0 than the reference is no drop, however sure.
    assert p_worse(first, wrong, GAP) == 1.0


def test_rows_stand_beside_the_reference() -> None:
    month, reference = sample(predictions(seed=1), HOW), sample(predictions(seed=2), replace(HOW, seed=2))
    rows = {row["statistic"]: row for row in performance_rows(HEAD, month, reference)}
    auroc_row = rows[AUROC]
    assert auroc_row["value"] == month.values[AUROC]
    assert auroc_row["reference"] == reference.values[AUROC]
    assert auroc_row["low"] < auroc_row["value"] < auroc_row["high"]  # type: ignore[operator]
    assert auroc_row["reference_low"] < auroc_row["reference"] < auroc_row["reference_high"]  # type: ignore[operator]
    assert auroc_row["p_value"] == p_worse(month, reference, AUROC)
    assert rows[ECE]["p_value"] is None
    assert rows[ECE]["reference"] is not None
    assert rows["num_scored"]["value"] == 300


def test_without_a_reference_there_are_values_and_no_test() -> None:
    rows = {row["statistic"]: row for row in performance_rows(HEAD, sample(predictions(), HOW), None)}
    assert rows[AUROC]["value"] is not None
    assert rows[AUROC]["low"] is not None
    assert rows[AUROC]["reference"] is rows[AUROC]["p_value"] is None


def with_events(num_events: int, n: int = 100) -> pl.DataFrame:
    return predictions(n).with_columns(label=pl.Series([1] * num_events + [0] * (n - num_events), dtype=pl.Int32))


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (with_events(0), "one class only"),
        (with_events(4), "4 events, fewer than 5"),
        (predictions(20), "20 notes, fewer than 30"),
        (predictions(30).clear(), "0 notes, fewer than 30"),
    ],
)
def test_what_cannot_be_measured_is_named_and_left_out(held: pl.DataFrame, why: str) -> None:
    rows = {
        row["statistic"]: row for row in performance_rows(HEAD, sample(held, HOW), sample(predictions(seed=2), HOW))
    }
    for name in (AUROC, GAP, SLOPE, ECE):
        assert rows[name]["value"] is rows[name]["p_value"] is None
        assert rows[name]["left_out"] == why
    assert rows["num_scored"]["value"] == len(held)
    # How many had the outcome is known all the same.
    assert ("prevalence_1" in rows) == (len(held) >= HOW.min_notes)


def test_classes_that_are_fully_apart_have_no_slope_and_say_so() -> None:
    held = predictions(100).with_columns(
        probabilities=pl.when(pl.col("label") == 1).then(pl.lit([0.1, 0.9])).otherwise(pl.lit([0.9, 0.1]))
    )
    rows = {row["statistic"]: row for row in performance_rows(HEAD, sample(held, HOW), None)}
    assert rows[SLOPE]["value"] is None
    assert rows[SLOPE]["left_out"] == "does not exist for these notes"
    assert rows[AUROC]["value"] == 1.0
