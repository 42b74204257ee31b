"""How a base is opened for training: whole, or under ZeRO-3 in shares, one a rank, so that no GPU ever holds all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from lang1_assets.ops.finetuning.config import FinetuneConfig
from lang1_assets.ops.gpu_room import require_room
from lang1_assets.ops.training.config import TrainingConfig
from lang1_assets.ops.training.engine import opened_in_shares

GRADIENT_BYTES = 4
"""They accumulate in fp32."""


@contextmanager
def opened_for_training(config: FinetuneConfig) -> Iterator[None]:
    """The base is opened inside.

    Raises:
        ValueError: it does not fit.
    """
    ranks, stage = dist.get_world_size(), config.training.zero_stage
    require_room(
        config.base,
        f"finetuning it under ZeRO-{stage} on {ranks} rank(s)",
        lambda weights: bytes_of_each_rank(weights, config.training, ranks, is_frozen=config.lora is not None),
        "set finetune.zero_stage to 3 and finetune.precision to bf16, give the variant adapters (lora), or take more GPUs",
    )
    with opened_in_shares(config.training):
        yield


def bytes_of_each_rank(weights: int, training: TrainingConfig, num_ranks: int, *, is_frozen: bool) -> int:
    """Of weights, gradients and AdamW, less than is needed in the end: without activations, and without adapters.

    Args:
        is_frozen: nothing but adapters learns.
    """
    is_narrow = training.precision == "bf16"
    weight_bytes = 2 if is_narrow else 4
    # Two moments; the weights once more in fp32 where those that are computed with are bf16.
    optimizer_bytes = 12 if is_narrow else 8
    share = {stage: num_ranks if training.zero_stage >= stage else 1 for stage in (1, 2, 3)}
    needed = weights * weight_bytes / share[3]
    if not is_frozen:
        # In bf16 the optimizer's part is shared in every stage.
        needed += weights * GRADIENT_BYTES / share[2]
        needed += weights * optimizer_bytes / (num_ranks if is_narrow else share[1])
    return int(needed)
