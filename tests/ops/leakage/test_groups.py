"""The interval of an AUROC covers the truth."""

import doctest

import numpy as np
from scipy import stats

from lang1_assets.ops.leakage import groups
from lang1_assets.ops.leakage.groups import hanley_interval
from lang1_assets.ops.metrics import pairwise_auroc


def test_the_interval_of_hanley_and_mcneil_covers_the_truth() -> None:
    rng, truth, covered = np.random.default_rng(0), float(stats.norm.cdf(1 / np.sqrt(2))), 0
    for _ in range(400):
        scores = rng.normal(size=140) + np.repeat([0, 1], [80, 60])
        value = pairwise_auroc(np.repeat([False, True], [80, 60]), scores)
        low, high = hanley_interval(value, 60, 80)
        covered += low <= truth <= high
    assert 0.91 <= covered / 400 <= 0.985


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(groups).failed == 0
