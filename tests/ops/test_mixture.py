from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lang1_assets.ops import mixture as mixture_module
from lang1_assets.ops.mixture import Mixture, MixtureError, permuted, schedule_of
from lang1_assets.ops.shards import TokenShards

CONTEXT = 4
WEIGHTS = st.lists(st.one_of(st.integers(1, 20).map(float), st.floats(0.01, 10)), min_size=1, max_size=6)


def write_source(folder: Path, num_windows: int, first_token: int) -> TokenShards:
    """One shard whose window i begins with token `first_token + i * CONTEXT`."""
    folder.mkdir()
    tokens = np.arange(first_token, first_token + num_windows * CONTEXT + 1, dtype="<u2")
    tokens.tofile(folder / "train.bin")
    shard = {"file": "train.bin", "split": "train", "num_tokens": len(tokens)}
    manifest = {"format_version": 1, "dtype": "uint16", "vocab_size": 2**16, "tokenizer_sha256": "", "shards": [shard]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return TokenShards(folder, "train")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TokenShards]:
    folder = tmp_path_factory.mktemp("sources")
    return {"notes": write_source(folder / "notes", 37, 0), "web": write_source(folder / "web", 101, 10_000)}


@pytest.fixture(scope="module")
def mixture(sources: dict[str, TokenShards]) -> Mixture:
    return Mixture(sources, {"notes": 1, "web": 1}, CONTEXT, seed=3407)


@settings(max_examples=40)
@given(WEIGHTS, st.integers(0, 10**12))
def test_every_prefix_has_each_share_to_within_one(weights: list[float], far: int) -> None:
    schedule = schedule_of(np.array(weights))
    shares = schedule.quotas / schedule.quotas.sum()
    assert np.abs(shares - np.array(weights) / sum(weights)).max() <= 1 / 10_000
    numbers = np.arange(min(2 * len(schedule.turns) + 3, 5_000))
    sources, nths = schedule.at(numbers)
    taken = np.cumsum(sources[:, None] == np.arange(len(weights)), axis=0)
    assert np.abs(taken - (numbers[:, None] + 1) * shares).max() < 1
    assert nths.tolist() == (taken[numbers, sources] - 1).tolist()
    source, nth = schedule.at(np.array([far]))
    assert abs(nth[0] - far * shares[source[0]]) < 1.01


@pytest.mark.parametrize(
    ("weights", "expected"), [((1, 1), "0101"), ((3, 1), "0010"), ((0.25, 0.75), "1011"), ((2,), "0")]
)
def test_simple_weights_have_short_periods(weights: tuple[float, ...], expected: str) -> None:
    turns = "".join(map(str, schedule_of(np.array(weights, dtype=float)).turns))
    assert len(turns) in (len(expected), len(expected) // 2)
    assert sorted(turns * (len(expected) // len(turns))) == sorted(expected)


def test_fifteen_to_one_to_four() -> None:
    assert schedule_of(np.array([15.0, 1.0, 4.0])).quotas.tolist() == [15, 1, 4]


@given(st.integers(1, 3_000), st.integers(0, 5))
def test_a_permutation_has_every_position_once(size: int, key: int) -> None:
    assert np.sort(permuted(np.arange(size), size, str(key))).tolist() == list(range(size))


def test_a_permutation_looks_random() -> None:
    size, num = 1_000, 400
    orders = np.stack([permuted(np.arange(size), size, str(key)) for key in range(num)])
    # Of random orders: the mean of any position is normal around the middle, and neighbors are as often up as down.
    means = orders.mean(axis=0) - (size - 1) / 2
    assert np.abs(means).max() < 4.5 * size / np.sqrt(12 * num)
    assert abs((np.diff(orders, axis=1) > 0).mean() - 0.5) < 0.005
    assert abs((orders == np.arange(size)).sum() - num) < 5 * np.sqrt(num)
    assert len({order.tobytes() for order in orders}) == num


def test_the_order_is_pinned() -> None:
    """A change here changes the data of every run that is resumed after it."""
    assert permuted(np.arange(10), 10, "3407:notes_plus:0").tolist() == [5, 7, 6, 1, 2, 8, 9, 3, 4, 0]


def test_every_window_comes_once_an_epoch_and_each_epoch_has_its_own_order(mixture: Mixture) -> None:
    drawn: dict[str, list[int]] = {"notes": [], "web": []}
    for k in range(2 * 202):
        name, window = mixture.sample(k)
        drawn[name].append(window)
    assert len(drawn["notes"]) == len(drawn["web"]) == 202
    epochs = [drawn["notes"][start : start + 37] for start in range(0, 5 * 37, 37)]
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5
    assert sorted(drawn["web"][:101]) == sorted(drawn["web"][101:]) == list(range(101))


def test_another_seed_gives_another_order_and_another_source_does_not(
    mixture: Mixture, sources: dict[str, TokenShards]
) -> None:
    def notes(mixed: Mixture) -> list[int]:
        drawn = [mixed.sample(k) for k in range(74)]
        return [window for name, window in drawn if name == "notes"][:37]

    alone = Mixture({"notes": sources["notes"]}, {"notes": 2}, CONTEXT, seed=3407)
    assert notes(alone) == notes(mixture)
    assert notes(Mixture({"notes": sources["notes"]}, {"notes": 2}, CONTEXT, seed=1)) != notes(mixture)


@given(
    world=st.sampled_from([1, 2, 3, 4, 6, 12]),
    micro=st.sampled_from([1, 2]),
    step=st.one_of(st.integers(0, 40), st.integers(0, 10**9)),
)
def test_a_global_batch_is_the_same_for_any_number_of_ranks(
    mixture: Mixture, world: int, micro: int, step: int
) -> None:
    parts = [
        mixture.batch(step, 24, rank, world, micro, micro_step)
        for micro_step in range(24 // (world * micro))
        for rank in range(world)
    ]
    whole = np.concatenate(parts)
    assert np.array_equal(whole, mixture.batch(step, 24, 0, 1, 24, 0))
    assert whole.dtype == np.int64
    first = {"notes": 0, "web": 10_000}
    for row, (name, window) in zip(whole, (mixture.sample(step * 24 + k) for k in range(24)), strict=True):
        start = first[name] + window * CONTEXT
        assert row.tolist() == list(range(start, start + CONTEXT + 1))


@given(st.integers(0, 10**9), st.integers(1, 30))
def test_a_run_of_samples_is_each_sample(mixture: Mixture, first: int, num: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mixture_module, "BLOCK_SAMPLES", 7)
        mixture._block.cache_clear()
        sources, windows = mixture.run_of_samples(first, num)
        mixture._block.cache_clear()
    expected = mixture.samples(np.arange(first, first + num))
    assert (sources.tolist(), windows.tolist()) == (expected[0].tolist(), expected[1].tolist())


def test_a_fresh_mixture_resumes_at_the_exact_sample(mixture: Mixture, sources: dict[str, TokenShards]) -> None:
    resumed = Mixture(dict(reversed(sources.items())), {"web": 0.5, "notes": 0.5}, CONTEXT, seed=3407)
    for step in (0, 7, 1_000):
        assert np.array_equal(resumed.batch(step, 8, 0, 1, 8, 0), mixture.batch(step, 8, 0, 1, 8, 0))


def test_what_cannot_be_mixed_is_an_error_that_says_why(
    mixture: Mixture, sources: dict[str, TokenShards], tmp_path: Path
) -> None:
    tiny = write_source(tmp_path / "tiny", 1, 0)
    with pytest.raises(MixtureError, match=r"corpus 'tiny' has 5 tokens, fewer than one window of 5 \+ 1"):
        Mixture({"tiny": tiny}, {"tiny": 1}, 5, seed=1)
    with pytest.raises(MixtureError, match="must name the same corpora"):
        Mixture(sources, {"notes": 1}, CONTEXT, seed=1)
    with pytest.raises(MixtureError, match="corpus 'web' has weight 0"):
        Mixture(sources, {"notes": 1, "web": 0}, CONTEXT, seed=1)
    with pytest.raises(MixtureError, match="corpus 'web' has less than 1 in 10000"):
        Mixture(sources, {"notes": 1, "web": 1e-7}, CONTEXT, seed=1)
    with pytest.raises(MixtureError, match="not in a global batch of 8"):
        mixture.batch(0, 8, 1, 2, 4, 1)
