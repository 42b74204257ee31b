"""Ticks, scales and labels of the charts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.report.pretraining_figures import spread_labels
from lang1_assets.ops.report.svg import Scale, round_ticks, short_number


@pytest.mark.parametrize(
    ("low", "high", "at_most", "expected"),
    [(0.4, 1.0, 8, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]), (0, 1, 6, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (3, 3, 5, [3])],
)
def test_round_ticks(low, high, at_most, expected):
    assert round_ticks(low, high, at_most) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 12))
def test_ticks_are_few_and_inside(low, length, at_most):
    ticks = round_ticks(low, low + length, at_most)
    assert len(ticks) <= at_most + 1
    assert all(low - 1e-6 * length <= tick <= low + length * (1 + 1e-6) for tick in ticks)


def test_scale_maps_ends_to_ends_and_clamps():
    scale = Scale(0.4, 1.0, 10, 70)
    assert (scale(0.4), scale(1.0)) == (10, 70)
    assert scale.clamped(0.1) == 10
    assert scale.clamped(7) == pytest.approx(70)


@given(st.lists(st.floats(0, 200), min_size=1, max_size=8))
def test_labels_never_overlap_nor_leave_the_chart(heights):
    placed = spread_labels([("css", str(i), height) for i, height in enumerate(heights)], 20, 0, 200)
    places = [at for _, _, at in placed]
    assert sorted(label for _, label, _ in placed) == sorted(str(i) for i in range(len(heights)))
    assert all(b - a >= 20 - 1e-6 for a, b in pairwise(places))
    assert all(-1e-6 <= at <= 200 + 1e-6 for at in places)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (4_096_000, "4.1M"), (80e9, "80B"), (950, "950"), (1.5e12, "1.5T")]
)
def test_short_number(value, text):
    assert short_number(value) == text
