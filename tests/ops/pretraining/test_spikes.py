import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.pretraining.spikes import (
    DIVERGENCE_STEPS,
    HIGH_IN_A_ROW,
    MINIMUM_HISTORY,
    WINDOW,
    Accident,
    SpikeDetector,
)


def noise(seed: int, size: int) -> list[float]:
    return (3 + 0.1 * np.random.default_rng(seed).standard_normal(size)).tolist()


def after(losses: list[float], norms: list[float] | None = None) -> SpikeDetector:
    detector = SpikeDetector()
    for step, loss in enumerate(losses, start=1):
        assert detector.look(step, [loss], None if norms is None else norms[step - 1]) is None
    return detector


def kind_of(accident: Accident | None) -> str | None:
    return None if accident is None else accident.kind


@given(st.integers(0, 20))
def test_normal_noise_is_nothing(seed: int) -> None:
    after(noise(seed, 300), [abs(value) for value in noise(seed + 1, 300)])


@given(st.integers(0, 20), st.integers(MINIMUM_HISTORY, 200))
def test_a_planted_spike_is_found_and_not_learned_from(seed: int, before: int) -> None:
    history = noise(seed, before)
    detector = after(history)
    seen = history[-WINDOW:]
    mean, sd = statistics.fmean(seen), statistics.stdev(seen)
    # Again and again: a spike does not become part of what is normal.
    found = [detector.look(before + number, [mean + 6.01 * sd]) for number in range(1, 31)]
    assert [kind_of(accident) for accident in found] == [None] * (HIGH_IN_A_ROW - 1) + ["loss_spike"] * (
        31 - HIGH_IN_A_ROW
    )
    last = found[-1]
    assert last is not None
    assert (last.step, last.expected) == (before + 1, pytest.approx(mean))
    assert detector.trusted_until(before + 30) == before + 1
    assert detector.look(before + 31, [mean + 5.9 * sd]) is None
    assert detector.trusted_until(before + 31) == before + 31


def test_single_odd_batches_are_no_spike() -> None:
    detector = after(noise(1, 60))
    losses = noise(2, 90)
    odd = [9.0 if step % HIGH_IN_A_ROW else loss for step, loss in enumerate(losses)]
    assert detector.look(150, odd) is None
    assert detector.look(153, [9.0] * HIGH_IN_A_ROW) is not None


@given(st.integers(HIGH_IN_A_ROW, 10), st.data())
def test_the_step_of_a_spike_is_known_though_losses_are_looked_at_together(interval: int, data: st.DataObject) -> None:
    detector = after(noise(1, 50))
    place = data.draw(st.integers(0, interval - HIGH_IN_A_ROW))
    losses = noise(2, interval)
    losses[place : place + HIGH_IN_A_ROW] = [9.0] * HIGH_IN_A_ROW
    accident = detector.look(50 + interval, losses)
    assert accident is not None
    assert (accident.kind, accident.step) == ("loss_spike", 51 + place)


def test_a_sudden_fall_is_nothing() -> None:
    assert after(noise(1, 50)).look(51, [0.5]) is None


def test_a_short_history_says_nothing_but_not_finite_always_does() -> None:
    detector = SpikeDetector()
    assert kind_of(detector.look(1, [math.nan])) == "not_finite"
    assert kind_of(detector.look(1, [math.inf])) == "not_finite"
    assert kind_of(detector.look(1, [3.0], math.nan)) == "not_finite"
    detector = after(noise(1, MINIMUM_HISTORY - 1))
    assert detector.look(MINIMUM_HISTORY, [100.0]) is None
    assert kind_of(detector.look(MINIMUM_HISTORY + 1, [math.nan])) == "not_finite"


def test_one_high_gradient_norm_is_told_and_several_in_a_row_go_back() -> None:
    detector = after(noise(1, 50), noise(2, 50))
    told = [detector.look(step, [3.0], 30.0) for step in range(51, 51 + HIGH_IN_A_ROW)]
    assert [kind_of(accident) for accident in told] == ["gradient_norm"] * HIGH_IN_A_ROW
    assert [accident is not None and accident.goes_back for accident in told] == [False, False, True]
    assert {accident.step for accident in told if accident} == {51}
    assert detector.trusted_until(53) == 51


def test_a_normal_gradient_norm_in_between_forgives() -> None:
    detector = after(noise(1, 50), noise(2, 50))
    found = [detector.look(step, [3.0], 30.0 if step % 2 else 3.0) for step in range(51, 71)]
    assert not any(accident is not None and accident.goes_back for accident in found)
    assert detector.trusted_until(70) == 70


def test_six_deviations_of_a_steady_norm_are_no_spike() -> None:
    """The norms of a calm run hardly vary: what is not three times their mean is nothing."""
    assert after(noise(1, 50), [1.0 + 0.001 * (step % 2) for step in range(50)]).look(51, [3.0], 2.5) is None


def test_a_slow_divergence_is_found_and_dated() -> None:
    """0.1 % a step: no step is a spike, and after some hundred steps the loss is half as high again."""
    detector = after([3 - 0.002 * step for step in range(300)])
    losses = [2.4 * 1.001**step for step in range(2000)]
    found = [(step, detector.look(step, [loss])) for step, loss in enumerate(losses, start=301)]
    step, accident = next((step, accident) for step, accident in found if accident is not None)
    assert accident.kind == "divergence"
    assert step == accident.step + DIVERGENCE_STEPS
    # The mean of the window is a tenth above its best some 150 steps after the loss began to rise.
    assert 400 < accident.step < 550


def test_a_rise_that_ends_is_no_divergence() -> None:
    detector = after([3.0 + 0.1 * (step % 2) for step in range(300)])
    losses = [*(3 + 0.004 * step for step in range(150)), *[3.6] * 200, *[2.9] * 800]
    assert not [step for step, loss in enumerate(losses, start=301) if detector.look(step, [loss])]
    assert detector.trusted_until(1450) == 1450


@given(st.lists(st.floats(2, 4), min_size=1, max_size=400), st.data())
def test_a_resumed_detector_goes_on_where_it_was(losses: list[float], data: st.DataObject) -> None:
    stop = data.draw(st.integers(0, len(losses)))

    def looks(detector: SpikeDetector, first: int, some: list[float]) -> list[Any]:
        return [detector.look(step, [loss], loss) for step, loss in enumerate(some, start=first)]

    whole = SpikeDetector()
    expected = looks(whole, 1, losses)
    first = SpikeDetector()
    found = looks(first, 1, losses[:stop])
    second = SpikeDetector(first.state())
    found += looks(second, stop + 1, losses[stop:])
    assert found == expected
    assert second.state() == whole.state()
