"""The interval against scipy with scikit-learn's AUROC on the same resamples, and what it does at the edges."""

import doctest
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lang1_assets.ops import bootstrap
from lang1_assets.ops.bootstrap import bootstrap_auroc
from lang1_assets.ops.metrics import MetricError, auroc


def sample(n: int = 400, digits: int | None = None, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_true = (rng.random(n) < 0.12).astype(int)
    y_prob = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * y_true - 2)))
    return y_true, y_prob if digits is None else y_prob.round(digits)


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
