"""One step of the run: a batch drawn, an optimizer step taken."""

from __future__ import annotations

from typing import Any

import torch

from lang1_assets.ops.pretraining.batches import Batches
from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig
from lang1_assets.ops.training import step
from lang1_assets.ops.training.world import World


def take_step(config: PretrainConfig, engine: Any, batches: Batches, state: LoopState, world: World) -> torch.Tensor:
    """Advance `state` by one step; the mean loss of this rank's micro-batches."""

    def micro_batch(micro_step: int) -> tuple[torch.Tensor, ...]:
        return batches.get(state.data_step, micro_step)

    loss = step.take_step(engine, config.training, state.step, micro_batch, world)
    state.step += 1
    state.data_step += 1
    return loss
