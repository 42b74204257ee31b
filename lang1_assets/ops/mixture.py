"""Windows of several corpora mixed by weight: which sample comes k-th is a pure function of k (paper 5.3, M08).

Nothing is drawn in sequence, so the data are the same for any number of ranks, and a run resumes at the exact sample by its
step alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lang1_assets.ops.shards import TokenShards


class MixtureError(ValueError):
    """Sources or weights that cannot be mixed."""


class Mixture:
    """Samples 0, 1, 2, ... of the mixture.

    Sources take turns so that after any number of samples each has had its share to within one (the schedule of largest
    deficit, computed in closed form by sorting the times k / weight at which each source is due). Within a source, windows
    come in a seeded order without replacement; each pass over it has a new order.
    """

    def __init__(
        self, sources: Mapping[str, TokenShards], weights: Mapping[str, float], context_length: int, seed: int
    ) -> None:
        if set(sources) != set(weights) or not sources:
            raise MixtureError(f"sources {sorted(sources)} and weights {sorted(weights)} must name the same corpora")
        self.names = sorted(sources)
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
        total = sum(weights.values())
        self.shares = np.array([weights[name] / total for name in self.names])
        self._orders: dict[tuple[int, int], NDArray[np.int64]] = {}

    def sample(self, k: int) -> tuple[str, int]:
        """(corpus, window index) of sample k."""
        source, nth = self._turn(k)
        return self.names[source], self._window(source, nth)

    def batch(
        self, step: int, global_batch_size: int, rank: int, world_size: int, micro_batch_size: int, micro_step: int
    ) -> NDArray[np.int64]:
        """This rank's part of a step's global batch, shape (micro_batch_size, context_length + 1)."""
        first = step * global_batch_size + (micro_step * world_size + rank) * micro_batch_size
        windows = []
        for k in range(first, first + micro_batch_size):
            source, nth = self._turn(k)
            windows.append(self._shards[source].window(self._window(source, nth), self._context_length))
        return np.stack(windows).astype(np.int64)

    def _turn(self, k: int) -> tuple[int, int]:
        """Which source sample k comes from, and the how-manieth of that source it is.

        The i-th sample of a source with share w is due at time (i + 1/2) / w; sample k is the k-th in the order of due
        times, ties by source. The count of each source below a time is a floor, so the k-th is found by bisection.
        """
        low, high = k - len(self.shares), k + len(self.shares)
        while high - low > 1e-9 * max(1.0, k):
            middle = (low + high) / 2
            low, high = (middle, high) if self._counts(middle).sum() <= k else (low, middle)
        counts = self._counts(low)
        due = [((counts[s] + 0.5) / share, s) for s, share in enumerate(self.shares)]
        for _ in range(k - int(counts.sum())):
            _, source = min(due)
            counts[source] += 1
            due[source] = ((counts[source] + 0.5) / self.shares[source], source)
        source = min(due)[1]
        return source, int(counts[source])

    def _counts(self, time: float) -> NDArray[np.int64]:
        """Samples of each source due before a time."""
        return np.maximum(0, np.floor(self.shares * time + 0.5)).astype(np.int64)

    def _window(self, source: int, nth: int) -> int:
        epoch, position = divmod(nth, self.num_windows[source])
        key = (source, epoch)
        if key not in self._orders:
            # Only the current pass of each source is needed; a long run would keep them all.
            self._orders = {held: order for held, order in self._orders.items() if held[0] != source}
            generator = np.random.Generator(np.random.Philox(key=[self._seed, (source << 32) + epoch]))
            self._orders[key] = generator.permutation(self.num_windows[source])
        return int(self._orders[key][position])
