"""A DeepSpeed engine around a loss, and what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

from lang1_assets.ops.training.config import TrainingConfig, gradient_accumulation_steps
from lang1_assets.ops.training.deepspeed_alone import deepspeed
from lang1_assets.ops.training.world import World


def start_engine(module: nn.Module, config: TrainingConfig, world: World) -> Any:
    """A DeepSpeed engine around a module whose forward returns the loss."""
    # What `from_pretrained` opens is for inference: without dropout, and checkpointing of activations does nothing.
    module.train()
    if is_in_shares(module):
        complete_shares(module, config, world)
    # Otherwise the engine moves it, once it has cast it: both precisions of a large model do not fit side by side.
    if config.activation_checkpointing:
        language_model: Any = module.model
        language_model.gradient_checkpointing_enable({"use_reentrant": False})
    decayed = [p for p in module.parameters() if p.requires_grad and p.dim() >= 2]
    plain = [p for p in module.parameters() if p.requires_grad and p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    # A client optimizer: the one that DeepSpeed configures itself was 15 % slower on CPU.
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.eps, fused=True)
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=deepspeed_config(config, world))
    if config.compile:
        engine.compile()
    return engine


@contextmanager
def opened_in_shares(config: TrainingConfig) -> Iterator[None]:
    """Under ZeRO-3 the models that are opened inside are shared among the ranks weight by weight: none ever has them whole.

    Rank 0 alone reads the file. In the other stages models are opened as ever.
    """
    if config.zero_stage != 3:
        yield
        return
    world = World(rank=dist.get_rank(), size=dist.get_world_size(), device=torch.device("cpu"))
    # transformers holds it by a weak reference.
    held = HfDeepSpeedConfig(deepspeed_config(config, world))
    try:
        yield
    finally:
        unset_hf_deepspeed_config()
        del held


def is_in_shares(module: nn.Module) -> bool:
    return any(hasattr(parameter, "ds_id") for parameter in module.parameters())


def complete_shares(module: nn.Module, config: TrainingConfig, world: World) -> None:
    """What came to a shared model later, adapters say, in its precision; and what is not shared, where it is computed with."""
    for parameter in module.parameters():
        if not hasattr(parameter, "ds_id"):
            parameter.data = parameter.data.to(torch.bfloat16 if config.precision == "bf16" else torch.float32)
    module.to(world.device)


def deepspeed_config(config: TrainingConfig, world: World) -> dict[str, Any]:
    """DeepSpeed's own settings. Gradients accumulate in fp32: in bf16 they lose 3 % over 512 micro-steps."""
    bf16 = config.precision == "bf16"
    return {
        "train_batch_size": config.global_batch_size,
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": gradient_accumulation_steps(config, world.size),
        "gradient_clipping": config.gradient_clipping,
        "zero_optimization": {
            "stage": config.zero_stage,
            # With compile, overlapped communication gave NaN at the first step (DeepSpeed issue 8061).
            "overlap_comm": False,
            "stage3_gather_16bit_weights_on_model_save": True,
        },
        "zero_allow_untested_optimizer": True,
        # A gradient that is not finite is found where the losses are looked at; here the GPU would be waited for each step.
        "bf16": {"enabled": bf16, "check_grad_overflow": False},
        **({"data_types": {"grad_accum_dtype": "fp32"}} if bf16 else {}),
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


def set_learning_rate(engine: Any, rate: float) -> None:
    for group in engine.optimizer.param_groups:
        group["lr"] = rate


def whole_weights(engine: Any, *, trained_only: bool = False) -> dict[str, Tensor]:
    """The model's full weights on rank 0 (empty elsewhere under ZeRO-3), without the loss wrapper's prefix.

    Args:
        trained_only: leave out what is frozen, as the base of an adapter is.
    """
    if engine.zero_optimization_stage() == 3:
        weights = engine._zero3_consolidated_16bit_state_dict(exclude_frozen_parameters=trained_only) or {}
    else:
        learned = {name for name, value in engine.module.named_parameters() if value.requires_grad}
        weights = {name: v for name, v in engine.module.state_dict().items() if name in learned or not trained_only}
    return {name.removeprefix("model."): value for name, value in weights.items()}
