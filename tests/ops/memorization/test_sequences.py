from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lang1_assets.ops.memorization.canaries import DOCUMENTS_FILE, Canary
from lang1_assets.ops.memorization.sequences import (
    find_planted,
    held_out_sequences,
    times_seen,
    trained_sequences,
    windows_drawn,
)
from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.shards import ShardError, TokenShards
from lang1_assets.ops.tokenizer import fast_tokenizer

CONTEXT = 96


@pytest.fixture(scope="module")
def shards(planted_shards: Path) -> TokenShards:
    return TokenShards(planted_shards, "train")


def test_planted_documents_are_the_last_ones(
    planted_shards: Path, shards: TokenShards, canary_tokenizer: Path, canaries: list[Canary]
) -> None:
    planted = find_planted(planted_shards, shards, canary_tokenizer)
    tokenizer = fast_tokenizer(canary_tokenizer)
    before = tokenizer.decode(shards.read(0, planted.first_token).tolist())
    assert "registry number" not in before
    for text, start, end in zip(planted.texts, planted.starts, planted.ends, strict=True):
        assert tokenizer.decode(shards.read(int(start) + 1, int(end) - 1).tolist()).strip() == text
    assert int(planted.ends[-1]) == shards.num_tokens
    held_out = TokenShards(planted_shards, "val")
    assert "registry number" not in tokenizer.decode(held_out.read(0, held_out.num_tokens).tolist())


def test_shards_with_other_last_documents_are_an_error(
    planted_shards: Path, shards: TokenShards, canary_tokenizer: Path, tmp_path: Path
) -> None:
    pl.read_parquet(planted_shards / DOCUMENTS_FILE).reverse().write_parquet(tmp_path / DOCUMENTS_FILE)
    with pytest.raises(ShardError, match="materialize these shards again"):
        find_planted(tmp_path, shards, canary_tokenizer)


def test_without_canaries_nothing_is_planted(shards: TokenShards, canary_tokenizer: Path, tmp_path: Path) -> None:
    planted = find_planted(tmp_path, shards, canary_tokenizer)
    assert (planted.first_token, planted.texts) == (shards.num_tokens, [])


def test_windows_and_canaries_are_counted_as_they_were_drawn(
    planted_shards: Path, shards: TokenShards, canary_tokenizer: Path, canaries: list[Canary]
) -> None:
    """Against a reading of every batch."""
    mixture = Mixture({"notes": shards}, {"notes": 1}, CONTEXT, seed=3)
    planted, tokenizer = find_planted(planted_shards, shards, canary_tokenizer), fast_tokenizer(canary_tokenizer)
    drawn = windows_drawn(mixture, "notes", [range(100), range(100, 150)])
    read = [
        tokenizer.decode(mixture.batch(step, 10, 0, 1, 10, 0)[row].tolist()) for step in range(15) for row in range(10)
    ]
    assert drawn.sum() == 150
    for window, count in enumerate(drawn):
        assert read.count(tokenizer.decode(shards.window(window, CONTEXT).tolist())) == count
    for canary in canaries:
        whole = sum(f"{canary.prefix} {canary.secret}" in text for text in read)
        passes = 1 + 150 // mixture.num_windows[0]
        assert whole <= times_seen(canary, planted, drawn, CONTEXT) <= canary.repeats * passes


def test_training_sequences_come_from_drawn_windows_without_canaries(
    planted_shards: Path, shards: TokenShards, canary_tokenizer: Path
) -> None:
    planted = find_planted(planted_shards, shards, canary_tokenizer)
    drawn = np.zeros(shards.num_windows(CONTEXT), dtype=np.int64)
    drawn[[0, 2, -1]] = 1
    found = trained_sequences(shards, drawn, CONTEXT, planted, 10, 40, np.random.default_rng(0))
    assert found.shape == (2, 40)
    assert sorted(found.tolist()) == sorted(shards.window(index, CONTEXT)[:40].tolist() for index in (0, 2))


def test_held_out_sequences_do_not_overlap(planted_shards: Path) -> None:
    held_out = TokenShards(planted_shards, "val")
    whole = held_out.read(0, held_out.num_tokens).astype(np.int64)
    every = held_out_sequences(held_out, 10**6, 40)
    np.testing.assert_equal(every, whole[: len(whole) // 40 * 40].reshape(-1, 40))
    assert len(held_out_sequences(held_out, 5, 40)) == 5
    assert held_out_sequences(held_out, 5, held_out.num_tokens + 1).shape == (0, held_out.num_tokens + 1)
