"""A group has an AUROC with an interval, or a reason; notes that do not fit together are named."""

import doctest
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from lang1_assets.ops.analysis import groups
from lang1_assets.ops.analysis.groups import AnalysisError, described, lower_than, measured
from lang1_assets.ops.bootstrap import bootstrap_auroc
from tests.ops.analysis.notes import HOW, scored


def test_examples_in_the_docstrings():
    assert doctest.testmod(groups).attempted >= 1
    assert doctest.testmod(groups).failed == 0


def test_a_group_s_auroc_and_interval_are_those_of_its_notes():
    predictions, _ = scored()
    found = measured(predictions, HOW)
    scores = np.array(predictions["probabilities"].to_list())[:, 1]
    interval = bootstrap_auroc(predictions["label"].to_numpy(), scores, num_resamples=100, seed=1)
    assert found["value"] == pytest.approx(roc_auc_score(predictions["label"].to_numpy(), scores))
    assert (found["low"], found["high"]) == (interval.low, interval.high)
    assert (found["n"], found["num_events"], found["left_out"]) == (900, int(predictions["label"].sum()), None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1), max_size=60))
def test_a_group_has_a_number_or_a_reason(labels):
    frame, _ = scored(60)
    frame = frame.head(len(labels)).with_columns(label=pl.Series(labels, dtype=pl.Int32))
    found = measured(frame, HOW)
    is_enough = len(labels) >= HOW.min_notes and min(sum(labels), len(labels) - sum(labels)) >= HOW.min_events
    assert (found["left_out"] is None) == is_enough == (found["value"] is not None)
    assert found["n"] == len(labels)


@pytest.mark.parametrize(
    ("num_notes", "num_positive", "says"),
    [
        (0, 0, "0 notes, fewer than 30"),
        (29, 10, "29 notes, fewer than 30"),
        (40, 0, "one class only"),
        (40, 4, "4 events"),
    ],
)
def test_the_reason_is_said(num_notes, num_positive, says):
    frame, _ = scored(60)
    labels = [1] * num_positive + [0] * (num_notes - num_positive)
    found = measured(frame.head(num_notes).with_columns(label=pl.Series(labels, dtype=pl.Int32)), HOW)
    assert found["left_out"].startswith(says)
    assert found["value"] is found["low"] is found["high"] is None


def test_events_of_several_classes_are_the_notes_of_all_but_the_commonest():
    predictions, _ = scored(task="comorbidity")
    assert measured(predictions, HOW)["num_events"] == 900 - int((predictions["label"] == 0).sum())


def test_a_note_is_described_whatever_the_order():
    predictions, examples = scored()
    frame = described(predictions, examples)
    assert frame["note_id"].to_list() == predictions["note_id"].to_list()
    ages = dict(zip(examples["note_id"], examples["age"], strict=True))
    assert frame["age"].to_list() == [ages[note] for note in predictions["note_id"]]


def test_a_note_that_is_no_example_or_another_one_is_named():
    predictions, examples = scored(60)
    with pytest.raises(AnalysisError, match=r"readmission: note readmission-temporal_2024-\d+ is no example"):
        described(predictions, examples.head(59))
    changed = examples.with_columns(label=1 - pl.col("label"))
    with pytest.raises(AnalysisError, match=r"has label \d now, \d when it was scored; evaluate the model again"):
        described(predictions, changed)
    with pytest.raises(AnalysisError, match="is there twice"):
        described(predictions, pl.concat([examples, examples.head(1)]))


def test_lower_than_is_a_one_sided_normal_test():
    worse, better = (
        {"value": value, "standard_deviation": 0.001, "standard_deviation_by_patient": error}
        for value, error in ((0.6, 0.03), (0.7, 0.04))
    )
    assert lower_than(worse, better) == pytest.approx(stats.norm.sf(0.1 / 0.05))
    assert lower_than(better, worse) == pytest.approx(stats.norm.cdf(0.1 / 0.05))
    assert math.isnan(lower_than({"value": None}, better))
    sure = [{"value": value, "standard_deviation_by_patient": 0.0} for value in (1.0, 0.9)]
    assert math.isnan(lower_than(*sure))


def test_errors_are_by_patient_where_patients_return():
    """Each note four times, all of one patient: they are a quarter of the evidence that they look like."""
    predictions, _ = scored(300)
    once = predictions.with_columns(subject_id=pl.col("note_id"))
    fourfold = pl.concat([once.with_columns(note_id=pl.format("{}-{}", "note_id", pl.lit(k))) for k in range(4)])
    alone, together = measured(once, HOW), measured(fourfold, HOW)
    assert together["standard_deviation_by_patient"] == pytest.approx(alone["standard_deviation_by_patient"], rel=1e-6)
    assert together["standard_deviation"] < 0.65 * together["standard_deviation_by_patient"]
    clusters = fourfold["subject_id"].to_numpy()
    scores = np.array(fourfold["probabilities"].to_list())[:, 1]
    by_patient = bootstrap_auroc(fourfold["label"].to_numpy(), scores, num_resamples=100, seed=1, clusters=clusters)
    assert together["standard_deviation_by_patient"] == by_patient.standard_deviation
