"""What one pretraining run is, and where it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lang1_assets.ops.model import ModelShape
from lang1_assets.ops.training.config import TrainingConfig

ObjectiveName = Literal["next_token", "masked_token"]


@dataclass(frozen=True, kw_only=True)
class MonitoringConfig:
    """What is looked at during a run; `settings.Pretrain` says what each field means."""

    every_steps: int
    examples: dict[str, Path]
    """Task -> file of `schemas.EXAMPLES`, of the tasks that the source supplies; train and val are read, never a test."""
    questions: tuple[Path, ...]
    """Files as `questions.read_questions` takes them, each of its own kind."""
    num_examples: int
    shots: int
    note_tokens: int
    batch_size: int

    @staticmethod
    def from_json(values: dict[str, Any]) -> MonitoringConfig:
        examples = {task: Path(file) for task, file in values["examples"].items()}
        questions = tuple(Path(file) for file in values["questions"])
        return MonitoringConfig(**{**values, "examples": examples, "questions": questions})


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
    suspect_steps: int
    validation_windows: int
    seed: int
    monitoring: MonitoringConfig | None = None
    """None: only losses are looked at."""
    start_from: Path | None = None
    """A Hugging Face folder; None begins with random weights."""
    objective: ObjectiveName = "next_token"
    """A decoder's, or an encoder's (M27)."""

    def __post_init__(self) -> None:
        if self.objective == "masked_token" and self.monitoring is not None:
            raise ValueError("an encoder answers no questions: monitoring is for a decoder; leave it out")
        if self.objective == "masked_token" and self.start_from is not None:
            raise ValueError(
                f"pretrain.start_from {self.start_from} is a decoder, and an encoder begins with random weights; pretrain the "
                "encoder in a profile without start_from"
            )

    @staticmethod
    def from_json(values: dict[str, Any]) -> PretrainConfig:
        monitoring, start_from = values.get("monitoring"), values.get("start_from")
        return PretrainConfig(
            **{
                **values,
                "shape": ModelShape(**values["shape"]),
                "training": TrainingConfig(**values["training"]),
                "sources": {name: Path(folder) for name, folder in values["sources"].items()},
                "tokenizer_folder": Path(values["tokenizer_folder"]),
                "monitoring": MonitoringConfig.from_json(monitoring) if monitoring is not None else None,
                "start_from": Path(start_from) if start_from is not None else None,
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
    detector: dict[str, Any] = field(default_factory=dict)
    """What the `SpikeDetector` remembered when this was saved."""


def at_interval(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def crosses_checkpoint(config: PretrainConfig, step: int) -> bool:
    """Whether this step's tokens pass a multiple of `checkpoint_tokens`, or it is the last."""
    before, after = (step - 1) * config.tokens_per_step, step * config.tokens_per_step
    return before // config.checkpoint_tokens < after // config.checkpoint_tokens or step == config.training.max_steps
