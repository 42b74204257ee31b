import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.mixture import MixtureError, schedule_of
from lang1_assets.ops.pretraining.length import samples_of_one_epoch, steps_of_one_epoch

SOURCES = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 60)), min_size=1, max_size=4)


@given(SOURCES)
def test_no_window_comes_twice_until_the_end_and_one_would_right_after(sources: list[tuple[int, int]]) -> None:
    """Against counting sample by sample."""
    weights, windows = np.array([weight for weight, _ in sources], dtype=np.float64), [num for _, num in sources]
    schedule = schedule_of(weights)
    samples = samples_of_one_epoch(schedule, windows)
    turns, _ = schedule.at(np.arange(samples + 1))
    drawn = np.bincount(turns[:samples], minlength=len(windows))
    assert (drawn <= windows).all()
    # The sample after the last is of a source that has been read whole.
    assert drawn[turns[samples]] == windows[turns[samples]]


def test_me_llama_ends_with_the_scarcest_of_its_sources_by_weight() -> None:
    """15 : 1 : 4. A twentieth of the samples is clinical, so 100 clinical windows make 2,000 samples."""
    schedule = schedule_of(np.array([15.0, 1.0, 4.0]))
    samples = samples_of_one_epoch(schedule, [10_000, 100, 10_000])
    assert samples == pytest.approx(2_000, abs=20)
    assert samples_of_one_epoch(schedule, [150, 100, 10_000]) == pytest.approx(200, abs=20)


class FakeMixture:
    schedule = schedule_of(np.array([1.0]))

    def __init__(self, windows: int) -> None:
        self.num_windows = [windows]


def test_only_whole_batches_count() -> None:
    assert steps_of_one_epoch(FakeMixture(79), 8) == 9  # type: ignore[arg-type]
    with pytest.raises(MixtureError, match=r"one pass over the mixture is 7 sequences, less than one batch of 8"):
        steps_of_one_epoch(FakeMixture(7), 8)  # type: ignore[arg-type]
