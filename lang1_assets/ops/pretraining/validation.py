"""Held-out loss and perplexity (M24)."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig
from lang1_assets.ops.pretraining.objective import Objective
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.shards import TokenShards
from lang1_assets.ops.training.world import World


@torch.no_grad()
def validate(
    config: PretrainConfig, objective: Objective, engine: Any, state: LoopState, world: World, reporter: Reporter
) -> None:
    """Held-out token cross-entropy and perplexity, by corpus and together (M24)."""
    engine.eval()
    by_source = {
        name: validation_loss(config, objective, engine, folder, world) for name, folder in config.sources.items()
    }
    engine.train()
    by_source["all"] = statistics.fmean(by_source.values())
    values = {f"val/loss/{name}": loss for name, loss in by_source.items()}
    values |= {f"val/perplexity/{name}": math.exp(loss) for name, loss in by_source.items()}
    reporter.metrics(state.step, values)
    reporter.say("validation: " + ", ".join(f"{name} perplexity {math.exp(v):.2f}" for name, v in by_source.items()))


def validation_loss(config: PretrainConfig, objective: Objective, engine: Any, folder: Path, world: World) -> float:
    """Mean over the first held-out windows of a corpus; masked tokens are the same ones at every look."""
    shards = TokenShards(folder, "val")
    context = min(config.shape.context_length, shards.num_tokens - 1)
    num_windows = min(config.validation_windows, shards.num_windows(context))
    total = torch.zeros((), dtype=torch.float64)
    # Every rank runs the same number of forward passes: under ZeRO-3 each one is collective.
    for start in range(0, num_windows, world.size):
        index = min(start + world.rank, num_windows - 1)
        window = shards.window(index, context)[None].astype("int64")
        inputs = objective.inputs(window, np.array([index]), "val")
        loss = engine(*(part.to(world.device) for part in inputs)).double().cpu()
        total += loss if start + world.rank < num_windows else 0
    return world.mean(total) * world.size / num_windows
