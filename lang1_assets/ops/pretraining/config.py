"""What one pretraining run is, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lang1_assets.ops.model import ModelShape
from lang1_assets.ops.training.config import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """One pretraining run."""

    shape: ModelShape
    training: TrainingConfig
    sources: dict[str, Path]
    """Shard folder of each corpus."""
    weights: dict[str, float]
    tokenizer_folder: Path
    vocab_size: int
    checkpoint_tokens: int
    validation_windows: int
    seed: int

    @staticmethod
    def from_json(values: dict[str, Any]) -> PretrainConfig:
        return PretrainConfig(
            **{
                **values,
                "shape": ModelShape(**values["shape"]),
                "training": TrainingConfig(**values["training"]),
                "sources": {name: Path(folder) for name, folder in values["sources"].items()},
                "tokenizer_folder": Path(values["tokenizer_folder"]),
            }
        )

    @property
    def tokens_per_step(self) -> int:
        return self.training.global_batch_size * self.shape.context_length


@dataclass(kw_only=True)
class LoopState:
    """Where the run is; saved with each checkpoint."""

    step: int = 0
    """Optimizer steps taken."""
    data_step: int = 0
    """Batches drawn: ahead of `step` by what was skipped after a loss spike."""
    num_reverts: int = 0
    train_seconds: float = 0.0


def at_interval(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def crosses_checkpoint(config: PretrainConfig, step: int) -> bool:
    """Whether this step's tokens pass a multiple of `checkpoint_tokens`, or it is the last."""
    before, after = (step - 1) * config.tokens_per_step, step * config.tokens_per_step
    return before // config.checkpoint_tokens < after // config.checkpoint_tokens or step == config.training.max_steps
