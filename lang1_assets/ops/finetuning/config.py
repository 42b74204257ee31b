"""What one finetuning run is, and where it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lang1_assets.ops.tasks import Task
from lang1_assets.ops.training.config import TrainingConfig

LOOKS = 4
"""A run that is shortened because it has few notes is validated at least so often."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The learning rate search; `settings.Search` says what each field means."""

    num_trials: int
    max_steps: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (appendix I); `settings.Lora` says what each field means."""

    rank: int
    alpha: int
    dropout: float
    modules: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """One finetuning run."""

    base: Path
    """Hugging Face folder of the model to start from."""
    examples: dict[str, Path]
    """Examples file of each task; more than one is a joint run."""
    tokenizer_folder: Path
    training: TrainingConfig
    search: SearchConfig
    note_tokens: int
    context_length: int
    patience_steps: int
    validation_examples: int
    seed: int
    architecture: Literal["decoder", "encoder"] = "decoder"
    lora: LoraConfig | None = None
    max_notes: int | None = None
    """Labelled notes of each task that are learned from, a seeded choice that is a subset of any larger one; None is all."""
    max_epochs: float | None = None
    """Passes over the notes after which a run ends that has few of them."""
    own_tasks: tuple[Task, ...] = ()
    """Tasks of a hospital's own, which a process does not know by itself."""

    @staticmethod
    def from_json(values: dict[str, Any]) -> FinetuneConfig:
        lora = values.get("lora")
        return FinetuneConfig(
            **{
                **values,
                "base": Path(values["base"]),
                "examples": {task: Path(file) for task, file in values["examples"].items()},
                "tokenizer_folder": Path(values["tokenizer_folder"]),
                "training": TrainingConfig(**values["training"]),
                "search": SearchConfig(**values["search"]),
                "lora": None if lora is None else LoraConfig(**{**lora, "modules": tuple(lora["modules"])}),
                "own_tasks": tuple(Task.from_json(task) for task in values["own_tasks"]),
            }
        )


@dataclass(kw_only=True)
class LoopState:
    """Where the full run is; saved with each checkpoint."""

    step: int = 0
    best_step: int = -1
    best_micro_auroc: float = -1.0
    train_seconds: float = 0.0
    tokens_seen: int = 0
    """Of prompts, without padding, on all ranks."""


def num_train_notes(config: FinetuneConfig) -> int:
    """Notes of each task that the longest possible run reads; more need not be tokenized."""
    read = math.ceil(config.training.max_steps * config.training.global_batch_size / len(config.examples))
    return read if config.max_notes is None else min(read, config.max_notes)


def with_learning_rate(config: FinetuneConfig, rate: float, **changes: Any) -> FinetuneConfig:
    return replace(config, training=replace(config.training, learning_rate=rate, **changes))


def with_length(config: FinetuneConfig, train_notes: Mapping[str, int]) -> FinetuneConfig:
    """The run as long as its notes allow: `max_epochs` of them, if that is less than `max_steps`."""
    training = config.training
    if config.max_epochs is None:
        return config
    steps = math.ceil(config.max_epochs * sum(train_notes.values()) / training.global_batch_size)
    if steps >= training.max_steps:
        return config
    shortened = replace(
        training,
        max_steps=steps,
        warmup_steps=min(training.warmup_steps, steps // 10),
        validate_every_steps=min(training.validate_every_steps, max(1, steps // LOOKS)),
    )
    return replace(config, training=shortened)
