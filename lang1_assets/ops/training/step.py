"""One optimizer step, of whichever loss."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lang1_assets.ops.training.config import TrainingConfig, gradient_accumulation_steps
from lang1_assets.ops.training.engine import set_learning_rate
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World


def take_step(
    engine: Any,
    training: TrainingConfig,
    step: int,
    micro_batch: Callable[[int], Sequence[torch.Tensor]],
    world: World,
) -> torch.Tensor:
    """One optimizer step; the mean loss of this rank's micro-batches.

    Args:
        step: optimizer steps taken so far, which decide the learning rate.
        micro_batch: what the loss is given, by number of the micro-step.
    """
    set_learning_rate(engine, learning_rate_at(step, training))
    accumulation = gradient_accumulation_steps(training, world.size)
    total = torch.zeros((), device=world.device)
    for micro_step in range(accumulation):
        loss = engine(*micro_batch(micro_step))
        engine.backward(loss)
        engine.step()
        total += loss.detach()
    return total / accumulation


def seed_step(seed: int, part: str, step: int, world: World) -> None:
    """Make what is drawn at random, as dropout is, a function of the step: a resumed run is the uninterrupted one.

    Args:
        part: of the run; parts draw differently.
    """
    drawn = hashlib.blake2b(f"{seed}:{part}:{step}:{world.rank}".encode(), digest_size=8).digest()
    # Torch takes a signed number of 64 bits.
    torch.manual_seed(int.from_bytes(drawn) >> 1)
