"""Ticks, scales and short numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.axes import Scale, log_ticks, padded, round_ticks, short_number


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


@given(st.floats(1e-6, 1e9), st.floats(1.5, 1e9), st.integers(2, 8))
def test_log_ticks_are_few_and_inside(low, factor, at_most):
    ticks = log_ticks(low, low * factor, at_most)
    assert len(ticks) <= at_most
    assert ticks == sorted(set(ticks))
    assert all(low * (1 - 1e-6) <= tick <= low * factor * (1 + 1e-6) for tick in ticks)


def test_log_ticks_over_two_decades_are_one_and_three():
    assert log_ticks(100, 10_000, 6) == pytest.approx([100, 300, 1000, 3000, 10_000])


def test_scale_maps_ends_to_ends_and_clamps():
    scale = Scale(0.4, 1.0, 10, 70)
    assert (scale(0.4), scale(1.0)) == (10, 70)
    assert scale.clamped(0.1) == 10
    assert scale.clamped(7) == pytest.approx(70)


def test_a_logarithmic_scale_has_equal_steps_for_equal_factors():
    scale = Scale(10, 1000, 0, 200, is_log=True)
    assert [scale(value) for value in (10, 100, 1000)] == pytest.approx([0, 100, 200])


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_padding_leaves_no_value_on_the_edge_and_no_share_below_zero(low, length):
    start, end = padded(low, low + length)
    assert 0 <= start <= low <= low + length < end
    assert end - start > 1e-8 * max(1, end)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (4_096_000, "4.1M"), (80e9, "80B"), (950, "950"), (1.5e12, "1.5T")]
)
def test_short_number(value, text):
    assert short_number(value) == text
