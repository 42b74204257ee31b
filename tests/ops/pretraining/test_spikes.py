import math
import statistics

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.pretraining.spikes import SPIKE_MINIMUM_HISTORY, SPIKE_WINDOW, SpikeDetector


def noise(seed: int, size: int) -> list[float]:
    return (3 + 0.1 * np.random.default_rng(seed).standard_normal(size)).tolist()


@given(st.integers(0, 20))
def test_normal_noise_is_no_spike(seed: int) -> None:
    detector = SpikeDetector()
    assert not any(detector.is_spike(loss) for loss in noise(seed, 150))


@given(st.integers(0, 20), st.integers(SPIKE_MINIMUM_HISTORY, 200))
def test_a_planted_spike_is_found_and_not_learned_from(seed: int, before: int) -> None:
    detector = SpikeDetector()
    history = noise(seed, before)
    for loss in history:
        assert not detector.is_spike(loss)
    seen = history[-SPIKE_WINDOW:]
    mean, sd = statistics.fmean(seen), statistics.stdev(seen)
    # Again and again: a spike does not become part of what is normal.
    assert all(detector.is_spike(mean + 6.01 * sd) for _ in range(30))
    assert not detector.is_spike(mean + 5.9 * sd)


def test_a_sudden_fall_is_no_spike() -> None:
    detector = SpikeDetector()
    for loss in noise(1, 50):
        detector.is_spike(loss)
    assert not detector.is_spike(0.5)


def test_a_short_history_says_nothing_but_not_finite_is_always_a_spike() -> None:
    detector = SpikeDetector()
    assert detector.is_spike(math.nan)
    assert detector.is_spike(math.inf)
    for loss in noise(1, SPIKE_MINIMUM_HISTORY - 1):
        detector.is_spike(loss)
    assert not detector.is_spike(100.0)
    assert detector.is_spike(math.nan)
