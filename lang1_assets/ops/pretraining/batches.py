"""Micro-batches on the training device, the next one read while the current one is computed."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from lang1_assets.ops.pretraining.objective import Objective
from lang1_assets.ops.training.config import TrainingConfig, gradient_accumulation_steps
from lang1_assets.ops.training.world import World

if TYPE_CHECKING:
    from lang1_assets.ops.mixture import Mixture

Position = tuple[int, int]
"""(data step, micro-step)."""


class Batches:
    """This rank's micro-batches of the mixture, by position, so that any of them can be asked for at any time.

    One is read ahead by a thread; when another is asked for (the run went back, or was resumed) that one is read instead.
    """

    def __init__(self, mixture: Mixture, objective: Objective, training: TrainingConfig, world: World) -> None:
        self._mixture = mixture
        self._objective = objective
        self._training = training
        self._world = world
        self._num_micro_steps = gradient_accumulation_steps(training, world.size)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[Position, Future[tuple[Tensor, ...]]] | None = None
        self.wait_seconds = 0.0
        """Time that `get` has waited for data since this was last set to 0."""

    def get(self, data_step: int, micro_step: int) -> tuple[Tensor, ...]:
        """What the objective makes of windows of shape (micro_batch_size, context + 1).

        Raises:
            ShardError: their shard cannot be read.
        """
        started = time.monotonic()
        inputs = self._take((data_step, micro_step)).result()
        self.wait_seconds += time.monotonic() - started
        self._read_ahead(self._after(data_step, micro_step))
        return tuple(part.to(self._world.device, non_blocking=True) for part in inputs)

    def _take(self, position: Position) -> Future[tuple[Tensor, ...]]:
        if self._ahead is not None and self._ahead[0] == position:
            return self._ahead[1]
        return self._reader.submit(self._read, position)

    def _read_ahead(self, position: Position) -> None:
        self._ahead = (position, self._reader.submit(self._read, position))

    def _after(self, data_step: int, micro_step: int) -> Position:
        last = micro_step + 1 == self._num_micro_steps
        return (data_step + 1, 0) if last else (data_step, micro_step + 1)

    def _read(self, position: Position) -> tuple[Tensor, ...]:
        training, world = self._training, self._world
        data_step, micro_step = position
        windows = self._mixture.batch(
            data_step, training.global_batch_size, world.rank, world.size, training.micro_batch_size, micro_step
        )
        place = (micro_step * world.size + world.rank) * training.micro_batch_size
        samples = data_step * training.global_batch_size + place + np.arange(training.micro_batch_size)
        inputs = self._objective.inputs(windows, samples, "train")
        # From pinned memory the copy to the GPU runs beside its computing, and nobody waits for it.
        return tuple(part.pin_memory() for part in inputs) if world.device.type == "cuda" else inputs
