"""Which stretches of a corpus a run was trained on, and which it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lang1_assets.ops.memorization.canaries import DOCUMENTS_FILE, Canary
from lang1_assets.ops.mixture import Mixture
from lang1_assets.ops.shards import ShardError, TokenShards
from lang1_assets.ops.tokenizer import encode_batch

Tokens = NDArray[np.int64]
SAMPLES_AT_A_TIME = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Where the canary documents of a corpus lie among its training tokens: at the end."""

    first_token: int
    texts: list[str]
    starts: NDArray[np.int64]
    """(num_documents,) first token of each document."""
    ends: NDArray[np.int64]


def find_planted(folder: Path, shards: TokenShards, tokenizer_folder: Path) -> Planted:
    """The canary documents of a shard folder; without any, an empty place at its end.

    Raises:
        ShardError: the last documents of the shards are not the canaries.
    """
    path = folder / DOCUMENTS_FILE
    texts = pl.read_parquet(path)["text"].to_list() if path.exists() else []
    ids = encode_batch(tokenizer_folder, texts)
    lengths = np.array([len(row) + 2 for row in ids], dtype=np.int64)
    ends = shards.num_tokens - lengths.sum() + np.cumsum(lengths)
    starts = ends - lengths
    first = int(starts[0]) if len(starts) else shards.num_tokens
    for row, start in zip(ids, starts.tolist(), strict=True):
        if not np.array_equal(shards.read(start + 1, start + 1 + len(row)), row):
            raise ShardError(
                f"{folder}: its last documents are not those of {DOCUMENTS_FILE}; materialize these shards again"
            )
    return Planted(first_token=first, texts=texts, starts=starts, ends=ends)


def windows_drawn(mixture: Mixture, corpus: str, samples: Sequence[range]) -> NDArray[np.int64]:
    """How often each window of a corpus is among these samples of a mixture, (num_windows,)."""
    source = mixture.names.index(corpus)
    counts = np.zeros(mixture.num_windows[source], dtype=np.int64)
    # A month of training draws 150 million.
    for part in samples:
        for start in range(0, len(part), SAMPLES_AT_A_TIME):
            sources, windows = mixture.samples(np.asarray(part[start : start + SAMPLES_AT_A_TIME]))
            np.add.at(counts, windows[sources == source], 1)
    return counts


def times_seen(canary: Canary, planted: Planted, drawn: NDArray[np.int64], context_length: int) -> int:
    """In how many of the drawn windows the sentence of a canary may stand: those that hold the middle of a copy."""
    copies = [number for number, text in enumerate(planted.texts) if f"{canary.prefix} {canary.secret}." in text]
    middles = (planted.starts[copies] + planted.ends[copies]) // 2
    windows = middles // context_length
    return int(drawn[windows[windows < len(drawn)]].sum())


def trained_sequences(
    shards: TokenShards,
    drawn: NDArray[np.int64],
    context_length: int,
    planted: Planted,
    num: int,
    length: int,
    rng: np.random.Generator,
) -> Tokens:
    """The first `length` tokens of up to `num` windows that were drawn and hold no canary; (num, length).

    From their beginning, as training saw them: asked in the middle of a window, a model that knew every one of 30 windows by
    heart went on with a tenth of them.
    """
    seen = np.flatnonzero(drawn)
    seen = seen[(seen + 1) * context_length < planted.first_token]
    chosen = rng.permutation(seen)[:num]
    return stacked(shards, chosen * context_length, length)


def held_out_sequences(shards: TokenShards, num: int, length: int) -> Tokens:
    """Up to `num` stretches of the held-out documents, evenly spread, none over another."""
    available = shards.num_tokens // length
    chosen = (
        np.unique(np.linspace(0, available - 1, min(num, available)).astype(np.int64))
        if available
        else np.empty(0, int)
    )
    return stacked(shards, chosen * length, length)


def stacked(shards: TokenShards, starts: NDArray[np.int64], length: int) -> Tokens:
    rows = [shards.read(start, start + length).astype(np.int64) for start in starts.tolist()]
    return np.stack(rows) if rows else np.empty((0, length), dtype=np.int64)
