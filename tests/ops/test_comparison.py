"""Tests of two models on the same notes, against slow second implementations and published values."""

import csv
import doctest
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from lang1_assets.ops import comparison, schemas
from lang1_assets.ops.comparison import bootstrap_test, delong_interval, delong_test, holm, paired
from lang1_assets.ops.metrics import MetricError, brier_score
from tests.ops.metrics.samples import multiclass_sample
from tests.outside_data import OUTSIDE, needs_outside_data

# DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988): 43 patients with ovarian cancer who have all three measurements;
# albumin, total protein, the score of Krebs and Goplerud (10 minus it ranks), and 1 when surgery helped. As in the example
# "Comparing Receiver Operating Characteristic Curves" of SAS/STAT's LOGISTIC procedure, which prints the values below.
OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""

# aSAH (Turck et al. 2010; the example data of pROC, Robin et al. 2011): of each value of a marker, from low to high, how many
# of the 72 patients with a good and of the 41 with a poor outcome have it. That is the ROC curve itself.
WFNS = ((37, 2), (20, 12), (3, 1), (8, 8), (4, 18))
S100B = (
    *((0, 1), (10, 0), (6, 3), (6, 1), (6, 2), (7, 2), (4, 1), (0, 1), (3, 2), (4, 1), (4, 0), (3, 1), (5, 0), (0, 2)),
    *((1, 0), (0, 3), (1, 0), (0, 1), (1, 1), (1, 1), (1, 0), (0, 1), (1, 0), (0, 1), (1, 0), (0, 2), (4, 0), (1, 1)),
    *((0, 1), (2, 0), (0, 12)),
)


def ovarian() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    albumin, protein, score, helped = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4).T
    return helped.astype(int), {"albumin": albumin, "protein": protein, "K-G": 10 - score}


def from_curve(curve: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    labels = [label for good, poor in curve for label in [0] * good + [1] * poor]
    return np.array(labels), np.repeat(np.arange(len(curve)), [sum(counts) for counts in curve])


def two_models(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and the scores of two models, of which the second sees more; scores are rounded, so there are ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(int)
    shared = rng.normal(size=n)
    first, second = labels + shared + rng.normal(size=n), 1.5 * labels + shared + rng.normal(size=n)
    return labels, (first / 10 + 0.5).clip(0, 1).round(2), (second / 10 + 0.5).clip(0, 1).round(2)


def covariance_pair_by_pair(labels: np.ndarray, models: list[np.ndarray]) -> np.ndarray:
    """O(n^2): the definition of DeLong et al., kernel by kernel."""
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    kernels = np.array(
        [[[(s[i] > s[j]) + 0.5 * (s[i] == s[j]) for j in negatives] for i in positives] for s in models], dtype=float
    )
    areas = kernels.mean(axis=(1, 2))
    of_positives = kernels.mean(axis=2) - areas[:, None]
    of_negatives = kernels.mean(axis=1) - areas[:, None]
    m, n = len(positives), len(negatives)
    return of_positives @ of_positives.T / (m - 1) / m + of_negatives @ of_negatives.T / (n - 1) / n


def test_examples_in_the_docstrings():
    assert doctest.testmod(comparison).attempted >= 2
    assert doctest.testmod(comparison).failed == 0


@pytest.mark.parametrize(
    ("marker", "area", "error", "low", "high"),
    [
        ("albumin", 0.7366, 0.0927, 0.5549, 0.9182),
        ("K-G", 0.7258, 0.1028, 0.5243, 0.9273),
        ("protein", 0.6478, 0.1000, 0.4518, 0.8439),
    ],
)
def test_published_areas_of_delong(marker, area, error, low, high):
    helped, markers = ovarian()
    found = delong_interval(helped, markers[marker])
    assert (found.value, found.standard_error) == pytest.approx((area, error), abs=5.1e-5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize(
    ("marker", "value", "error", "low", "high", "p_value"),
    [("albumin", 0.0108, 0.0953, -0.1761, 0.1976, 0.9102), ("protein", -0.0780, 0.1046, -0.2830, 0.1271, 0.4561)],
)
def test_published_differences_of_delong(marker, value, error, low, high, p_value):
    helped, markers = ovarian()
    found = delong_test(helped, markers["K-G"], markers[marker])
    assert (found.value, found.standard_error) == pytest.approx((value, error), abs=5.1e-5)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)
    assert found.p_value == pytest.approx(p_value, abs=5.1e-5)


@pytest.mark.parametrize(
    ("curve", "area", "variance", "low", "high"),
    [
        (WFNS, 0.823678861788618, 14.6991470882363, 0.7485, 0.8988),
        (S100B, 0.731368563685637, 26.6868245717244, 0.6301, 0.8326),
    ],
    ids=["wfns", "s100b"],
)
def test_areas_and_variances_that_proc_prints(curve, area, variance, low, high):
    """`auc`, `var` (of the area in percent) and `ci` of pROC, which its own tests hold to these digits."""
    found = delong_interval(*from_curve(curve))
    assert found.value == pytest.approx(area, abs=1e-14)
    assert (100 * found.standard_error) ** 2 == pytest.approx(variance, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-5)


@needs_outside_data
@pytest.mark.skipif(not (OUTSIDE / "asah.csv").exists(), reason="asah.csv, as R writes pROC's aSAH, is not there")
@pytest.mark.parametrize(
    ("first", "second", "z", "p_value", "low", "high"),
    [
        ("s100b", "wfns", 2.20898359144091, 0.0271757822291882, 0.0104061769564846, 0.174214419249478),
        ("ndka", "wfns", 2.79777591868904, 0.00514557970691098, 0.0634011709339876, 0.3600405634833566),
        ("s100b", "ndka", -1.39077002573558, 0.164295175223054, -0.2876917446341914, 0.0488706064228094),
    ],
)
def test_paired_tests_that_proc_prints(first, second, z, p_value, low, high):
    """`roc.test` of pROC; its data are under the GPL and no part of this project."""
    with (OUTSIDE / "asah.csv").open() as file:
        rows = list(csv.DictReader(file))
    poor = np.array([row["outcome"] == "Poor" for row in rows]).astype(int)
    found = delong_test(poor, *([float(row[marker]) for row in rows] for marker in (first, second)))
    assert found.value / found.standard_error == pytest.approx(z, rel=1e-10)
    assert (found.p_value, found.low, found.high) == pytest.approx((p_value, low, high), rel=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_delong_pair_by_pair(seed):
    labels, first, second = two_models(n=40, seed=seed)
    if min(labels.sum(), (1 - labels).sum()) < 2:
        return
    expected = covariance_pair_by_pair(labels, [first, second])
    found = delong_test(labels, first, second)
    variance = expected[0, 0] + expected[1, 1] - 2 * expected[0, 1]
    assert found.standard_error == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert found.first == pytest.approx(roc_auc_score(labels, first))
    if variance > 0:
        assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.value) / math.sqrt(variance)))


def test_equal_rankings_do_not_differ():
    labels, first, _ = two_models()
    found = delong_test(labels, first, first**3)
    assert (found.value, found.standard_error, found.p_value) == (0.0, 0.0, 1.0)


def test_the_test_keeps_its_level():
    """Two models that are equally good: a p-value below 0.05 in about 5 % of samples."""
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(400):
        labels = np.repeat([0, 1], [60, 40])
        shared = rng.normal(size=100)
        first, second = (labels + shared + rng.normal(size=100) for _ in range(2))
        rejected += delong_test(labels, first, second).p_value < 0.05
    assert 0.025 <= rejected / 400 <= 0.08


def test_bootstrap_and_delong_agree_on_independent_notes():
    labels, first, second = two_models(n=800)
    by_ranks, resampled = delong_test(labels, first, second), bootstrap_test(labels, first, second, seed=0)
    assert resampled.value == pytest.approx(by_ranks.value, abs=1e-12)
    assert resampled.standard_error == pytest.approx(by_ranks.standard_error, rel=0.1)
    assert (resampled.low, resampled.high) == pytest.approx((by_ranks.low, by_ranks.high), abs=0.01)


def test_bootstrap_is_that_of_scipy_on_the_same_notes():
    labels, first, second = two_models()

    def difference(y_true: np.ndarray, one: np.ndarray, two: np.ndarray) -> float:
        return roc_auc_score(y_true, two) - roc_auc_score(y_true, one)

    theirs = stats.bootstrap(
        (labels, first, second), difference, paired=True, vectorized=False, method="percentile", n_resamples=150, rng=3
    )
    ours = bootstrap_test(labels, first, second, num_resamples=150, seed=3)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=1e-12)
    values = theirs.bootstrap_distribution
    assert ours.p_value == pytest.approx(2 * (min((values <= 0).sum(), (values >= 0).sum()) + 1) / 151)


def test_repeated_patients_make_a_difference_less_certain():
    labels, first, second = two_models(n=200)
    copies = [np.repeat(each, 4) for each in (labels, first, second)]
    patients = np.repeat(np.arange(200), 4)
    by_note = bootstrap_test(*copies, num_resamples=400, seed=0)
    by_patient = bootstrap_test(*copies, num_resamples=400, seed=0, clusters=patients)
    assert by_patient.standard_error == pytest.approx(2 * by_note.standard_error, rel=0.2)
    assert by_patient.p_value >= by_note.p_value


def test_several_classes_and_other_metrics():
    labels, probabilities = multiclass_sample(n=300, k=4)
    vague = 0.5 * probabilities + 0.125
    shuffled = np.random.default_rng(0).permutation(probabilities)
    macro = bootstrap_test(labels, shuffled, probabilities, num_resamples=100, seed=1)
    assert macro.low > 0.1
    assert macro.p_value == pytest.approx(2 / 101)
    brier = bootstrap_test(labels, probabilities, vague, metric="brier", num_resamples=100, seed=1)
    assert brier.value == pytest.approx(brier_score(labels, vague) - brier_score(labels, probabilities))
    assert brier.low > 0


def test_what_makes_no_sense_is_refused():
    labels, probabilities = multiclass_sample(n=30, k=3)
    with pytest.raises(MetricError, match="use bootstrap_test"):
        delong_test(labels, probabilities, probabilities)
    with pytest.raises(MetricError, match="got 1 of one"):
        delong_test([0, 0, 1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    with pytest.raises(MetricError, match="choose one of auprc, auroc"):
        bootstrap_test(labels, probabilities, probabilities, metric="accuracy", seed=0)


def predictions(notes: list[str], labels: list[int], split: str = "test") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "note_id": notes,
            "subject_id": [f"s-{note}" for note in notes],
            "task": "mortality",
            "split": split,
            "label": np.array(labels, dtype=np.int32),
            "probabilities": [[1 - 0.1 * place, 0.1 * place] for place in range(len(notes))],
        }
    ).select(schemas.PREDICTIONS.names)


def test_models_are_paired_by_note_whatever_the_order():
    both = paired(predictions(["a", "b", "c"], [0, 1, 0]), predictions(["d", "c", "b"], [1, 0, 1]))
    assert both.labels.tolist() == [1, 0]
    assert both.patients.tolist() == ["s-b", "s-c"]
    np.testing.assert_allclose(both.first[:, 1], [0.1, 0.2])
    np.testing.assert_allclose(both.second[:, 1], [0.2, 0.1])
    assert (both.only_first, both.only_second) == (1, 1)


def test_models_of_other_labels_or_splits_are_not_paired():
    with pytest.raises(MetricError, match="note b of mortality has label 1 and 0"):
        paired(predictions(["a", "b"], [0, 1]), predictions(["a", "b"], [0, 0]))
    with pytest.raises(MetricError, match="0 tasks and splits"):
        paired(predictions(["a"], [0]), predictions(["a"], [0], split="val"))


@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.5, 1.0]), max_size=8))
def test_holm_rejects_what_stepping_down_rejects(p_values: list[float]) -> None:
    """Second implementation: from the smallest on, each against level / tests left, until one fails."""
    for level in (0.01, 0.05):
        rejected = set()
        order = sorted(range(len(p_values)), key=lambda place: p_values[place])
        for step, place in enumerate(order):
            if p_values[place] * (len(p_values) - step) > level:
                break
            rejected.add(place)
        assert {place for place, p_value in enumerate(holm(p_values)) if p_value <= level} == rejected
