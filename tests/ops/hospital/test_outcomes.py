from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops.hospital import outcomes
from lang1_assets.ops.hospital.outcomes import expit, softmax


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.01, 0.9))
def test_intercept_reaches_the_target(seed: int, target: float) -> None:
    score = np.random.default_rng(seed).normal(0, 2, 300)
    assert abs(expit(score + outcomes.solve_intercept(score, target)).mean() - target) < 1e-9


def test_class_intercepts_reach_the_targets() -> None:
    rng = np.random.default_rng(0)
    score, weight = rng.normal(0, 1.5, (500, 4)), rng.random(500)
    target = np.array([0.5, 0.1, 0.15, 0.25])
    chances = softmax(score + outcomes.solve_class_intercepts(score, weight, target))
    np.testing.assert_allclose(weight @ chances / weight.sum(), target, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_systematic_draws_sum_to_the_expected(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.random(200) ** 3
    assert abs(outcomes.draw_binary(probability, rng).sum() - probability.sum()) <= 1


def test_each_draw_keeps_its_probability() -> None:
    rng = np.random.default_rng(3)
    chances = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.34, 0.33, 0.33], [0.98, 0.01, 0.01]])
    draws = np.stack([outcomes.draw_classes(chances, rng) for _ in range(6_000)])
    found = np.stack([(draws == index).mean(axis=0) for index in range(3)], axis=1)
    np.testing.assert_allclose(found, chances, atol=0.03)
