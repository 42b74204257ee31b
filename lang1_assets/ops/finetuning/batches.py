"""Batches that hold every task in equal numbers (paper 5.4), padded to their longest prompt and no further."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.scoring import pad_right
from lang1_assets.ops.training.world import World


class JointBatches:
    """The same batches for any number of ranks.

    Example k of a task is a pure function of k and the seed: a new seeded order each time round. Nothing is drawn in
    sequence, so a resumed run needs only its step.

    Args:
        prompts: of each task.
        targets: of each task, what the loss is given for each label: the token of its letter, or its class.
    """

    def __init__(
        self, prompts: Mapping[str, PromptSet], targets: Mapping[str, Sequence[int]], global_batch_size: int, seed: int
    ) -> None:
        self._prompts = list(prompts.values())
        self._targets = [targets[task] for task in prompts]
        self._size = global_batch_size
        self._seed = seed
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def rows(self, step: int) -> list[tuple[int, int]]:
        """(task index, example index) of each sequence in a step's global batch."""
        first = step * self._size
        return [self._row(k) for k in range(first, first + self._size)]

    def num_tokens(self, step: int) -> int:
        """Tokens of a step's prompts, without padding."""
        return sum(len(self._prompts[task].ids[i]) for task, i in self.rows(step))

    def _row(self, k: int) -> tuple[int, int]:
        task, nth = k % len(self._prompts), k // len(self._prompts)
        epoch, position = divmod(nth, len(self._prompts[task].ids))
        key = (task, epoch)
        if key not in self._orders:
            generator = np.random.Generator(np.random.Philox(key=[self._seed, (task << 32) + epoch]))
            self._orders[key] = generator.permutation(len(self._prompts[task].ids))
        return task, int(self._orders[key][position])

    def of_step(
        self, step: int, micro_batch_size: int, world: World
    ) -> Callable[[int], tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """This rank's micro-batches of one step, by their number."""
        return lambda micro_step: self.micro_batch(step, micro_step, micro_batch_size, world)

    def micro_batch(
        self, step: int, micro_step: int, micro_batch_size: int, world: World
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids (micro, length), index of the last token (micro,), and the target of the right answer (micro,)."""
        start = (micro_step * world.size + world.rank) * micro_batch_size
        rows = self.rows(step)[start : start + micro_batch_size]
        input_ids, last = pad_right([self._prompts[task].ids[i] for task, i in rows])
        targets = [self._targets[task][int(self._prompts[task].labels[i])] for task, i in rows]
        device = world.device
        return input_ids.to(device), last.to(device), torch.tensor(targets, device=device)
