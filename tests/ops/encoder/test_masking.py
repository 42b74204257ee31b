"""Masks are a pure function of seed and place, of the share and kinds that BERT's are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lang1_assets.ops.encoder.masking import MaskedWindows, masked_windows, num_masked
from lang1_assets.ops.encoder.model import mask_id

NUM_PIECES = 50
START = 1


def made(windows: NDArray[np.int64], samples: list[int], seed: int = 7, split: str = "train") -> MaskedWindows:
    return masked_windows(
        windows,
        np.array(samples),
        num_pieces=NUM_PIECES,
        start_id=START,
        seed=seed,
        split=split,  # type: ignore[arg-type]
    )


def windows_of(samples: list[int], length: int) -> NDArray[np.int64]:
    """Of each sample number always the same tokens."""
    rows = [np.random.default_rng(sample).integers(3, NUM_PIECES, length) for sample in samples]
    return np.array(rows, dtype=np.int64).reshape(len(samples), length)


@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=12, unique=True),
    st.integers(2, 90),
    st.integers(0, 2**31),
    st.data(),
)
def test_a_window_s_masks_depend_on_its_number_and_on_no_other_window(
    samples: list[int], length: int, seed: int, data: st.DataObject
) -> None:
    """However the samples are shared among ranks and micro-batches, and in whatever order they are asked for."""
    whole = made(windows_of(samples, length), samples, seed)
    asked = data.draw(st.permutations(range(len(samples))))[: data.draw(st.integers(1, len(samples)))]
    part = made(windows_of([samples[i] for i in asked], length), [samples[i] for i in asked], seed)
    for name in ("input_ids", "positions", "targets"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[asked])


@given(st.integers(0, 2**40), st.integers(2, 200), st.integers(0, 2**31))
def test_the_window_is_whole_but_for_what_was_masked(sample: int, length: int, seed: int) -> None:
    window = windows_of([sample], length)
    before = window.copy()
    masked = made(window, [sample], seed)
    assert np.array_equal(window, before)
    (positions,) = masked.positions
    assert len(positions) == num_masked(length) == len(np.unique(positions))
    assert positions.min() >= 1
    assert (np.diff(positions) > 0).all()
    assert np.array_equal(masked.targets[0], window[0, positions])
    others = np.setdiff1d(np.arange(1, length), positions)
    assert np.array_equal(masked.input_ids[0, others], window[0, others])
    assert masked.input_ids[0, 0] == START
    assert masked.input_ids.max() <= mask_id(NUM_PIECES)


def test_fifteen_percent_are_chosen_and_eight_tenths_of_them_masked() -> None:
    samples, length = list(range(2_000)), 201
    windows = windows_of(samples, length)
    masked = made(windows, samples)
    assert masked.positions.shape == (2_000, 30)
    shown = np.take_along_axis(masked.input_ids, masked.positions, axis=1)
    is_mask, is_same = shown == mask_id(NUM_PIECES), shown == masked.targets
    # 60,000 draws: a standard deviation of 0.0016. One random piece in fifty is the one that was there.
    assert is_mask.mean() == pytest.approx(0.8, abs=0.007)
    assert is_same.mean() == pytest.approx(0.1 + 0.1 / NUM_PIECES, abs=0.006)
    counts = np.bincount(shown[~is_mask & ~is_same], minlength=NUM_PIECES)
    assert counts[:NUM_PIECES].sum() == (~is_mask & ~is_same).sum()
    assert counts.min() > 60
    # Every place is chosen as often.
    places = np.bincount(masked.positions.ravel(), minlength=length)[1:]
    assert places.mean() == pytest.approx(300)
    assert abs(places - 300).max() < 5 * np.sqrt(300 * 0.85)


def test_another_number_seed_or_split_has_other_masks() -> None:
    windows = windows_of([5], 400)
    first = made(windows, [5]).positions
    for other in (made(windows, [6]), made(windows, [5], seed=8), made(windows, [5], split="val")):
        # Of 60 of 399 places, nine are the same by chance.
        assert len(np.intersect1d(first, other.positions)) < 25


def test_the_masks_of_a_sample_never_change() -> None:
    """Written down: a run that is resumed after an upgrade of numpy goes on with the same ones."""
    masked = made(np.arange(3, 23)[None], [12])
    assert masked.positions.tolist() == [[2, 4, 11]]
    assert masked.targets.tolist() == [[5, 7, 14]]
    assert masked.input_ids.tolist() == [[1, 4, 50, 6, 50, *range(8, 14), 50, *range(15, 23)]]
