"""Windows of several corpora mixed by weight: which sample comes k-th is a pure function of k (paper 5.3, M08).

Nothing is drawn in sequence, so the data are the same for any number of ranks, and a run resumes at the exact sample by its
step alone. All of it is integer arithmetic written here, so that no library's next version changes the order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lang1_assets.ops.shards import ShardError, TokenShards

MAX_PERIOD = 10_000
NUM_ROUNDS = 6
BLOCK_SAMPLES = 4_096
"""Samples drawn at a time: one costs nearly as much as all of them (2 ms for 32, 3 ms for these, on a busy laptop)."""


class MixtureError(ValueError):
    """Sources, weights or batch sizes that cannot be mixed."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Whose turn it is: a period of samples that repeats for ever."""

    turns: NDArray[np.int64]
    """(period,) which source each sample of the period comes from."""
    ranks: NDArray[np.int64]
    """(period,) how many samples of the same source come before it in the period."""
    quotas: NDArray[np.int64]
    """(num_sources,) samples of each source in a period."""

    def at(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each sample number: its source, and how many samples of that source come before it."""
        period, position = np.divmod(samples, len(self.turns))
        source = self.turns[position]
        return source, period * self.quotas[source] + self.ranks[position]


def schedule_of(weights: NDArray[np.float64]) -> Schedule:
    """Sources take turns such that in every prefix each has its share to within less than one sample.

    Tijdeman's rule for the chairman assignment problem (Discrete Mathematics 32, 1980): of the sources that are far enough
    behind, the one whose next sample is due first. Weights are taken as whole parts of the shortest period that gives them
    exactly, or of 10,000 where none does.
    """
    quotas = quotas_of(weights)
    period, num = int(quotas.sum()), len(quotas)
    # The bound of the rule: 1 / (2 num - 2), with everything multiplied by period * (2 num - 2) to stay in integers.
    scale = max(1, 2 * num - 2)
    counts = np.zeros(num, dtype=np.int64)
    turns, ranks = np.empty(period, dtype=np.int64), np.empty(period, dtype=np.int64)
    for k in range(period):
        behind = scale * (quotas * (k + 1) - counts * period) >= (period if num > 1 else 0)
        due = (scale * (counts + 1) - (num > 1)) / quotas
        source = int(np.argmin(np.where(behind, due, np.inf)))
        turns[k], ranks[k] = source, counts[source]
        counts[source] += 1
    return Schedule(turns=turns, ranks=ranks, quotas=quotas)


def quotas_of(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    shares = weights / weights.sum()
    periods = np.arange(1, MAX_PERIOD + 1)[:, None]
    exact = np.abs(shares * periods - np.round(shares * periods)).max(axis=1) < 1e-9 * periods[:, 0]
    period = int(np.argmax(exact)) + 1 if exact.any() else MAX_PERIOD
    quotas = np.floor(shares * period + 1e-6).astype(np.int64)
    # The rest of the period goes to the largest remainders.
    left = period - int(quotas.sum())
    quotas[np.argsort(quotas - shares * period, kind="stable")[:left]] += 1
    return quotas


def permuted(positions: NDArray[np.int64], size: int, key: str) -> NDArray[np.int64]:
    """Where a keyed permutation of 0 ... size - 1 sends each position.

    A Feistel network over the next power of four, walked until it lands inside (Black and Rogaway, CT-RSA 2002): any
    position is found without making the whole order, which for a hospital's corpus would be hundreds of megabytes a rank.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    digest = hashlib.blake2b(key.encode(), digest_size=8 * NUM_ROUNDS).digest()
    keys = np.frombuffer(digest, dtype="<u8")
    values = scrambled(positions.astype(np.uint64), np.uint64(half), keys)
    while (outside := values >= size).any():
        values[outside] = scrambled(values[outside], np.uint64(half), keys)
    return values.astype(np.int64)


def scrambled(values: NDArray[np.uint64], half: np.uint64, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One pass of the network over numbers of 2 * `half` bits."""
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = values >> half, values & mask
    for key in keys:
        # The finalizer of SplitMix64 as round function; products wrap at 64 bits.
        mixed = (right ^ key) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(31))) & mask)
    return (left << half) | right


class Mixture:
    """Samples 0, 1, 2, ... of the mixture.

    Sources take turns by `schedule_of`. Within a source, windows come in a seeded order without replacement; each pass over
    it has a new order, which depends on the seed, the source's name and the pass, and on no other source.
    """

    def __init__(
        self, sources: Mapping[str, TokenShards], weights: Mapping[str, float], context_length: int, seed: int
    ) -> None:
        self.names = sorted(sources)
        check_weights(self.names, weights)
        self._shards = [sources[name] for name in self.names]
        self._context_length = context_length
        self._seed = seed
        self.num_windows = [shards.num_windows(context_length) for shards in self._shards]
        for name, windows, shards in zip(self.names, self.num_windows, self._shards, strict=True):
            if windows == 0:
                raise MixtureError(
                    f"corpus '{name}' has {shards.num_tokens} tokens, fewer than one window of {context_length} + 1; "
                    "give it more documents or leave it out of the mixture"
                )
        self.schedule = schedule_of(np.array([weights[name] for name in self.names], dtype=np.float64))
        self._block = lru_cache(maxsize=4)(self._samples_of_block)

    def sample(self, k: int) -> tuple[str, int]:
        """(corpus, window index) of sample k."""
        sources, windows = self.samples(np.array([k]))
        return self.names[int(sources[0])], int(windows[0])

    def samples(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of each sample number: the index of its corpus in `names`, and of its window there."""
        sources, nths = self.schedule.at(numbers)
        epochs, positions = np.divmod(nths, np.array(self.num_windows)[sources])
        windows = np.empty_like(positions)
        for source, epoch in {(int(source), int(epoch)) for source, epoch in zip(sources, epochs, strict=True)}:
            mine = (sources == source) & (epochs == epoch)
            key = f"{self._seed}:{self.names[source]}:{epoch}"
            windows[mine] = permuted(positions[mine], self.num_windows[source], key)
        return sources, windows

    def run_of_samples(self, first: int, num: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """`samples` of `num` numbers from `first` on."""
        start = first // BLOCK_SAMPLES
        blocks = [self._block(number) for number in range(start, (first + num - 1) // BLOCK_SAMPLES + 1)]
        sources, windows = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        chosen = slice(first - start * BLOCK_SAMPLES, first - start * BLOCK_SAMPLES + num)
        return sources[chosen], windows[chosen]

    def _samples_of_block(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.samples(np.arange(number * BLOCK_SAMPLES, (number + 1) * BLOCK_SAMPLES))

    def batch(
        self, step: int, global_batch_size: int, rank: int, world_size: int, micro_batch_size: int, micro_step: int
    ) -> NDArray[np.int64]:
        """This rank's part of a step's global batch, shape (micro_batch_size, context_length + 1).

        Step `step` holds samples `step * global_batch_size` and on, whatever the number of ranks.

        Raises:
            MixtureError: the micro-batch lies outside of the global batch.
            ShardError: a window has a token outside of its vocabulary.
        """
        first = (micro_step * world_size + rank) * micro_batch_size
        if not 0 <= first <= global_batch_size - micro_batch_size:
            raise MixtureError(
                f"micro-step {micro_step} of rank {rank}: sequences {first} to {first + micro_batch_size} are not in a global "
                f"batch of {global_batch_size}; it must be micro_batch_size times the ranks times the micro-steps"
            )
        first += step * global_batch_size
        sources, windows = self.run_of_samples(first, micro_batch_size)
        batch = np.empty((micro_batch_size, self._context_length + 1), dtype=np.int64)
        for source in np.unique(sources).tolist():
            mine = np.flatnonzero(sources == source)
            rows = [batch[row] for row in mine.tolist()]
            self._shards[source].windows_into(rows, windows[mine], self._context_length)
        self._check_ids(batch, sources)
        return batch

    def _check_ids(self, batch: NDArray[np.int64], sources: NDArray[np.int64]) -> None:
        # A GPU that is given an id outside of the vocabulary only says that an assertion failed, somewhere, some time ago.
        vocab_sizes = np.array([shards.vocab_size for shards in self._shards])
        if batch.max() < vocab_sizes.min():
            return
        limits = vocab_sizes[sources]
        outside = np.flatnonzero(batch.max(axis=1) >= limits)
        if len(outside):
            name = self.names[int(sources[outside[0]])]
            raise ShardError(
                f"corpus '{name}' has token {batch[outside[0]].max()} and a vocabulary of {limits[outside[0]]}: a shard has "
                "changed since it was written; materialize its shards again"
            )


def check_weights(names: list[str], weights: Mapping[str, float]) -> None:
    if set(names) != set(weights) or not names:
        raise MixtureError(f"sources {names} and weights {sorted(weights)} must name the same corpora, at least one")
    for name, weight in weights.items():
        if not 0 < weight < float("inf"):
            raise MixtureError(f"corpus '{name}' has weight {weight}; expected a number above 0, or leave it out")
        if weight * MAX_PERIOD < sum(weights.values()):
            raise MixtureError(f"corpus '{name}' has less than 1 in {MAX_PERIOD} of the weights; leave it out")
