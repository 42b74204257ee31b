"""The stability index against a plain sum, a published example and its expectation under no change."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.drift.scores import binned, edges_of, mean_stability, stability
from tests.ops.drift.made import predictions

COUNTS = st.lists(st.integers(0, 50), min_size=3, max_size=3)


@given(COUNTS, COUNTS)
def test_it_is_the_sum_over_bins(first: list[int], second: list[int]) -> None:
    def share(counts: list[int], place: int) -> float:
        return (counts[place] + 0.5) / (sum(counts) + 0.5 * len(counts))

    expected = sum(
        (share(first, k) - share(second, k)) * math.log(share(first, k) / share(second, k)) for k in range(3)
    )
    found = stability(np.array([first], dtype=float), np.array([second], dtype=float))[0]
    assert found == pytest.approx(expected)
    assert found >= 0
    assert stability(np.array([second], dtype=float), np.array([first], dtype=float))[0] == pytest.approx(found)


def test_a_known_index() -> None:
    """Shares of 50 and 50 % against 60 and 40 %: 0.1 ln 1.2 - 0.1 ln 0.8 = 0.0405."""
    many = 1e9
    found = stability(np.array([[0.6, 0.4]]) * many, np.array([[0.5, 0.5]]) * many)[0]
    assert found == pytest.approx(0.1 * math.log(1.2) - 0.1 * math.log(0.8), rel=1e-6)


def test_by_chance_it_is_as_large_as_published() -> None:
    """Yurdakul (2018): about (bins - 1) (1 / n + 1 / m) where nothing has changed."""
    rng = np.random.default_rng(0)
    first, second = (rng.multinomial(size, [0.1] * 10, 4_000).astype(float) for size in (400, 900))
    assert stability(first, second).mean() == pytest.approx(9 * (1 / 400 + 1 / 900), rel=0.05)


@pytest.mark.parametrize(("task", "num_columns"), [("readmission", 1), ("length_of_stay", 4)])
def test_notes_are_binned_by_deciles_of_the_reference(task: str, num_columns: int) -> None:
    held = predictions(400, task=task)
    edges = edges_of(held)
    found = binned(held, edges)
    assert len(edges) == len(found.by_class) == num_columns
    assert found.notes_of_patient.sum() == 400
    for counts in found.by_class:
        assert counts.sum(axis=0) == pytest.approx(np.full(10, 40), abs=1)
    assert mean_stability(*[[c.sum(axis=0)[None, :] for c in found.by_class]] * 2)[0] == 0


def test_a_model_of_one_score_has_bins_all_the_same() -> None:
    held = predictions(100).with_columns(probabilities=pl.lit([0.9, 0.1]))
    edges = edges_of(held)
    moved = held.with_columns(probabilities=pl.lit([0.5, 0.5]))
    same, other = (binned(frame, edges).by_class[0].sum(axis=0)[None, :] for frame in (held, moved))
    assert stability(same, same)[0] == 0
    # What lies above the one edge and on it is one bin.
    assert stability(other, same)[0] == 0
    lower = binned(held.with_columns(probabilities=pl.lit([0.95, 0.05])), edges).by_class[0].sum(axis=0)[None, :]
    assert stability(lower, same)[0] > 1
