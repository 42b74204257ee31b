"""One optimizer step."""

from __future__ import annotations

from typing import Any

import torch

from lang1_assets.ops.pretraining.batches import Batches
from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig
from lang1_assets.ops.training.config import gradient_accumulation_steps
from lang1_assets.ops.training.engine import set_learning_rate
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World


def take_step(config: PretrainConfig, engine: Any, batches: Batches, state: LoopState, world: World) -> torch.Tensor:
    """One optimizer step; the mean loss of this rank's micro-batches."""
    training = config.training
    set_learning_rate(engine, learning_rate_at(state.step, training))
    accumulation = gradient_accumulation_steps(training, world.size)
    total = torch.zeros((), device=world.device)
    for micro_step in range(accumulation):
        loss = engine(batches.get(state.data_step, micro_step))
        engine.backward(loss)
        engine.step()
        total += loss.detach()
    state.step += 1
    state.data_step += 1
    return total / accumulation
