"""Every metric of a resample is the metric of the notes that were drawn, counted as often as they were drawn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.bootstrap import auroc_distribution
from lang1_assets.ops.resampled_metrics import metric_distributions, metric_values
from lang1_assets.ops.results import METRICS
from tests.ops.metrics.samples import binary_sample, multiclass_sample

NUM_RESAMPLES = 12


def sample(k: int, n: int, seed: int, digits: int | None) -> tuple[np.ndarray, np.ndarray]:
    if k > 2:
        return multiclass_sample(n=n, k=k, seed=seed)
    y_true, y_prob = binary_sample(n=n, seed=seed, digits=digits)
    return y_true, np.column_stack([1 - y_prob, y_prob])


@settings(max_examples=15, deadline=None)
@given(
    k=st.sampled_from([2, 4]),
    n=st.integers(25, 90),
    seed=st.integers(0, 1_000),
    digits=st.sampled_from([None, 1]),
    by_patient=st.booleans(),
)
def test_a_resample_s_metrics_are_those_of_its_notes(k, n, seed, digits, by_patient):
    y_true, y_prob = sample(k, n, seed, digits)
    patients = np.arange(n) // 2
    clusters = patients if by_patient else None
    found = metric_distributions(y_true, y_prob, num_resamples=NUM_RESAMPLES, seed=seed, clusters=clusters)
    num_units = len(np.unique(patients)) if by_patient else n
    draws = np.random.default_rng(seed).integers(0, num_units, (NUM_RESAMPLES, num_units))
    for number, draw in enumerate(draws):
        rows = np.concatenate([np.flatnonzero(patients == unit) for unit in draw]) if by_patient else draw
        expected = metric_values(y_true[rows], y_prob[rows])
        assert expected.keys() == found.keys()
        got = {name: values[number] for name, values in found.items()}
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, abs=1e-6, nan_ok=True), name


def test_auroc_is_that_of_the_fast_path():
    for k in (2, 4):
        y_true, y_prob = sample(k, 400, 0, None)
        found = metric_distributions(y_true, y_prob, num_resamples=40, seed=9)
        np.testing.assert_array_equal(found["auroc"], auroc_distribution(y_true, y_prob, num_resamples=40, seed=9))


def test_every_metric_has_a_name_in_print():
    names = {name for k in (2, 5) for name in metric_values(*sample(k, 50, 0, None))}
    assert names == set(METRICS)


def test_labels_of_one_class_have_no_ranking_and_no_slope():
    found = metric_distributions([0] * 10, np.full((10, 2), 0.5), num_resamples=5, seed=0)
    for name in ("auroc", "auprc", "calibration_slope", "calibration_in_the_large"):
        assert all(map(math.isnan, found[name])), name
    assert found["brier"].tolist() == [0.25] * 5
