"""How to optimize."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to optimize; `settings.Training` says what each field means."""

    global_batch_size: int
    micro_batch_size: int
    max_steps: int
    learning_rate: float
    min_learning_rate: float
    warmup_steps: int
    betas: tuple[float, float]
    eps: float
    weight_decay: float
    gradient_clipping: float
    zero_stage: int
    precision: str
    compile: bool
    activation_checkpointing: bool
    validate_every_steps: int
    save_every_steps: int
    keep_last: int
    log_every_steps: int


def gradient_accumulation_steps(config: TrainingConfig, world_size: int) -> int:
    """Micro-batches of each rank in one optimizer step; ValueError as `accumulation_steps`."""
    return accumulation_steps(config.global_batch_size, config.micro_batch_size, world_size)


def accumulation_steps(global_batch_size: int, micro_batch_size: int, world_size: int) -> int:
    """Micro-batches of each rank in one optimizer step.

    Raises:
        ValueError: the global batch does not divide by ranks times micro-batch.
    """
    together = micro_batch_size * world_size
    if global_batch_size % together:
        raise ValueError(
            f"global_batch_size {global_batch_size} is not a multiple of micro_batch_size "
            f"{micro_batch_size} x {world_size} ranks; change one of them in the profile"
        )
    return global_batch_size // together
