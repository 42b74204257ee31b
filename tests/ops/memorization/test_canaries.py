from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.memorization.canaries import (
    Canary,
    canary_documents,
    make_canaries,
    read_canaries,
    training_id,
    write_canaries,
)
from lang1_assets.ops.shard_writing import hash_of


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=4, unique=True),
    st.integers(1, 4),
    st.integers(0, 5),
    st.integers(),
)
def test_each_canary_is_planted_as_often_as_it_says(repeats: list[int], each: int, controls: int, seed: int) -> None:
    seed = abs(seed)
    canaries = make_canaries(repeats, each, controls, seed)
    assert (
        Counter(item.repeats for item in canaries) == {**{number: each for number in repeats}, 0: controls}
        or not controls
    )
    assert len({item.holder for item in canaries}) == len(canaries)
    texts = canary_documents(canaries, "note_id", seed)["text"].to_list()
    for canary in canaries:
        assert sum(f"{canary.prefix} {canary.secret}." in text for text in texts) == canary.repeats
    # Copies have other words around them: the canary is what they share.
    assert len(set(texts)) == len(texts)


@given(st.integers(0, 300), st.integers(0, 10_000))
def test_a_canary_is_never_held_out(number: int, seed: int) -> None:
    assert hash_of(training_id(number, seed), seed) >= 15 / 16 * 2**64


def test_the_same_seed_plants_the_same(tmp_path: Path) -> None:
    first, second, other = (make_canaries((1, 4), 2, 3, seed) for seed in (7, 7, 8))
    assert first == second != other
    write_canaries(first, tmp_path, "note_id", 7)
    assert read_canaries(tmp_path) == first
    assert read_canaries(tmp_path / "elsewhere") == []


def test_more_canaries_than_names_is_an_error() -> None:
    with pytest.raises(ValueError, match="100 canaries, and names for 90"):
        make_canaries((1,), 60, 40, 1)


def test_a_secret_keeps_its_leading_zeros() -> None:
    secrets = [item.secret for item in make_canaries((1,), 80, 0, 3)]
    assert all(len(secret) == 11 and secret.replace(" ", "").isdigit() for secret in secrets)
    assert Canary(holder="A B", secret=secrets[0], repeats=1).prefix == "The registry number of A B is"
