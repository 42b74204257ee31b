"""The learning rate of each step."""

from __future__ import annotations

import math

from lang1_assets.ops.training.config import TrainingConfig


def learning_rate_at(step: int, config: TrainingConfig, peak: float | None = None) -> float:
    """Linear warmup, then cosine down to `min_learning_rate` at `max_steps` (paper 5.3 and 5.4)."""
    peak = config.learning_rate if peak is None else peak
    if step < config.warmup_steps:
        return peak * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    low = min(config.min_learning_rate, peak)
    return low + 0.5 * (peak - low) * (1 + math.cos(math.pi * min(1.0, share)))
