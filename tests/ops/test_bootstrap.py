"""The interval against scipy with scikit-learn's AUROC on the same resamples, and what it does at the edges."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from lang1_assets.ops import bootstrap
from lang1_assets.ops.bootstrap import MicroAuroc, RankedCells, bootstrap_auroc, counted
from lang1_assets.ops.metrics import MetricError, auroc


def sample(n: int = 400, digits: int | None = None, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_true = (rng.random(n) < 0.12).astype(int)
    y_prob = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * y_true - 2)))
    return y_true, y_prob if digits is None else y_prob.round(digits)


def auroc_by_comparing_pairs(is_positive: np.ndarray, scores: np.ndarray, times: np.ndarray) -> float:
    """O(n^2): each pair of a positive and a negative, as often as both were drawn."""
    won = total = 0.0
    for i in np.flatnonzero(is_positive):
        for j in np.flatnonzero(~is_positive):
            pairs = times[i] * times[j]
            total += pairs
            won += pairs * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    return won / total if total else math.nan


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=30),
    st.integers(0, 1_000),
)
def test_cells_tell_as_much_as_notes(pairs, seed):
    """Runs of positives and negatives, ties of one kind and of both, resamples that miss whole cells or kinds."""
    is_positive = np.array([positive for positive, _ in pairs])
    scores = np.array([score / 8 for _, score in pairs])
    draws = np.random.default_rng(seed).integers(0, len(pairs), (3, len(pairs)))
    cells = RankedCells(is_positive, scores)
    found = cells.auroc(counted(cells.slots[draws], cells.num_slots))
    for draw, value in zip(draws, found, strict=True):
        times = np.bincount(draw, minlength=len(pairs))
        assert value == pytest.approx(auroc_by_comparing_pairs(is_positive, scores, times), abs=1e-12, nan_ok=True)


def test_cells_are_few_where_the_model_is_good():
    y_true, y_prob = np.repeat([0, 1], 500), np.linspace(0, 1, 1_000)
    assert RankedCells(y_true == 1, y_prob).num_cells == 1
    assert RankedCells(y_true == 0, y_prob).num_cells == 2


@pytest.mark.parametrize(("n", "digits"), [(400, None), (401, None), (400, 1)])
def test_bounds_are_those_of_scipy_with_scikit_learn(n, digits):
    y_true, y_prob = sample(n, digits)
    theirs = stats.bootstrap(
        (y_true, y_prob),
        roc_auc_score,
        paired=True,
        vectorized=False,
        method="percentile",
        n_resamples=200,
        rng=11,
    )
    ours = bootstrap_auroc(y_true, y_prob, num_resamples=200, seed=11)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=1e-12)
    assert ours.standard_deviation == pytest.approx(theirs.standard_error, abs=1e-12)
    values = bootstrap.auroc_distribution(y_true, y_prob, num_resamples=200, seed=11)
    np.testing.assert_allclose(values, theirs.bootstrap_distribution, atol=1e-12)


def test_multiclass_resamples_are_those_of_auroc_itself():
    rng = np.random.default_rng(0)
    y_prob = rng.dirichlet([4, 2, 0.5, 0.03], 120)
    y_true = np.array([rng.choice(4, p=row) for row in y_prob])
    values = bootstrap.auroc_distribution(y_true, y_prob, num_resamples=60, seed=5)
    draws = np.random.default_rng(5).integers(0, 120, (60, 120))
    slow = [auroc(y_true[draw], y_prob[draw]).value for draw in draws]
    np.testing.assert_allclose(values, slow, atol=1e-12)


def test_bounds_of_four_classes_are_those_of_scipy_with_scikit_learn():
    rng = np.random.default_rng(2)
    y_prob = rng.dirichlet(np.ones(4), 200)
    y_true = np.array([rng.choice(4, p=row) for row in y_prob])

    def macro(labels, *columns):
        return roc_auc_score(labels, np.stack(columns, axis=1), multi_class="ovr")

    theirs = stats.bootstrap(
        (y_true, *y_prob.T), macro, paired=True, vectorized=False, method="percentile", n_resamples=60, rng=4
    )
    ours = bootstrap_auroc(y_true, y_prob, num_resamples=60, seed=4)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)


def test_micro_average_of_weighted_notes():
    rng = np.random.default_rng(1)
    y_prob = rng.dirichlet(np.ones(3), 60).round(1)
    y_prob /= y_prob.sum(axis=1, keepdims=True)
    y_true = rng.integers(0, 3, 60)
    weights = rng.integers(0, 3, (2, 60)).astype(float)
    found = MicroAuroc(y_true, y_prob).of_weights(weights)
    for row, value in zip(weights, found, strict=True):
        copies = np.repeat(np.arange(60), row.astype(int))
        assert value == pytest.approx(auroc(y_true[copies], y_prob[copies]).micro, abs=1e-12)


@pytest.mark.parametrize("block", [1, 7, 400, 5_000])
def test_resamples_do_not_depend_on_how_many_are_drawn_at_a_time(block, monkeypatch):
    y_true, y_prob = sample()
    expected = bootstrap.auroc_distribution(y_true, y_prob, num_resamples=23, seed=6)
    monkeypatch.setattr(bootstrap, "BLOCK", block)
    found = bootstrap.auroc_distribution(y_true, y_prob, num_resamples=23, seed=6)
    np.testing.assert_array_equal(found, expected)
    clusters = np.arange(400) // 3
    by_patient = bootstrap.auroc_distribution(y_true, y_prob, num_resamples=23, seed=6, clusters=clusters)
    monkeypatch.undo()
    np.testing.assert_array_equal(
        by_patient, bootstrap.auroc_distribution(y_true, y_prob, num_resamples=23, seed=6, clusters=clusters)
    )


def test_normal_interval_is_the_other_reading_of_the_paper():
    y_true, y_prob = sample(2_000)
    interval = bootstrap_auroc(y_true, y_prob, num_resamples=500, seed=0)
    low, high = interval.normal(auroc(y_true, y_prob).value)
    assert high - low == pytest.approx(2 * stats.norm.ppf(0.975) * interval.standard_deviation)
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=0.01)


def test_two_columns_are_the_same_as_one():
    y_true, y_prob = sample()
    both = np.column_stack([1 - y_prob, y_prob])
    assert bootstrap_auroc(y_true, both, num_resamples=50, seed=1) == bootstrap_auroc(
        y_true, y_prob, num_resamples=50, seed=1
    )


def test_resamples_of_one_class_are_left_out_and_counted():
    y_true, y_prob = np.array([0] * 9 + [1]), np.linspace(0, 1, 10)
    interval = bootstrap_auroc(y_true, y_prob, num_resamples=300, seed=0)
    draws = np.random.default_rng(0).integers(0, 10, (300, 10))
    without_positive = int((y_true[draws].sum(axis=1) == 0).sum())
    assert interval.num_left_out == without_positive > 50
    assert (interval.low, interval.high) == (1.0, 1.0)


def test_one_class_altogether_gives_no_interval():
    interval = bootstrap_auroc([0, 0, 0], [0.1, 0.2, 0.3], num_resamples=20, seed=0)
    assert interval.num_left_out == 20
    assert math.isnan(interval.low)
    assert math.isnan(interval.standard_deviation)


def test_whole_patients_are_drawn():
    y_true, y_prob = sample(200)
    patients = np.repeat(np.arange(20), 10)
    for weights in np.concatenate(list(bootstrap.resample_weights(200, num_resamples=5, seed=2, clusters=patients))):
        by_patient = weights.reshape(20, 10)
        assert (by_patient == by_patient[:, :1]).all()
        assert by_patient[:, 0].sum() == 20
    assert (y_true.shape, y_prob.shape) == ((200,), (200,))


def test_repeated_notes_of_a_patient_widen_the_interval():
    y_true, y_prob = sample(300)
    four_times = np.repeat(y_true, 4), np.repeat(y_prob, 4)
    patients = np.repeat(np.arange(300), 4).astype(str)
    by_note = bootstrap_auroc(*four_times, num_resamples=300, seed=0)
    by_patient = bootstrap_auroc(*four_times, num_resamples=300, seed=0, clusters=patients)
    # Copies add no information: the truth is the interval of the 300 patients, twice as wide as that of 1,200 notes.
    assert by_patient.standard_deviation == pytest.approx(2 * by_note.standard_deviation, rel=0.2)


def test_every_patient_once_is_by_note():
    y_true, y_prob = sample()
    alone = np.arange(len(y_true))
    assert bootstrap_auroc(y_true, y_prob, num_resamples=50, seed=4, clusters=alone) == bootstrap_auroc(
        y_true, y_prob, num_resamples=50, seed=4
    )


def test_clusters_of_another_length_are_refused():
    with pytest.raises(MetricError, match="one for each of the 2 notes"):
        bootstrap_auroc([0, 1], [0.1, 0.2], seed=0, clusters=["a"])


def test_the_interval_covers_the_truth():
    """Coverage of the known AUROC over many small samples is near 95 %."""
    rng = np.random.default_rng(0)
    truth = float(stats.norm.cdf(1 / np.sqrt(2)))
    covered = 0
    for seed in range(150):
        y_true = np.repeat([0, 1], 60)
        y_prob = rng.normal(size=120) + y_true
        interval = bootstrap_auroc(y_true, y_prob, num_resamples=150, seed=seed)
        covered += interval.low <= truth <= interval.high
    assert 0.87 <= covered / 150 <= 0.99


def test_examples_in_the_docstrings():
    assert doctest.testmod(bootstrap).failed == 0
