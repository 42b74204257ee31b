from dataclasses import replace
from functools import partial
from typing import Any

import torch

from lang1_assets.ops.model import build_model
from lang1_assets.ops.next_token_loss import NextTokenLoss
from lang1_assets.ops.training.engine import deepspeed_config, start_engine
from lang1_assets.ops.training.world import World
from tests.ops.conftest import SEED, SHAPE
from tests.ops.training.conftest import CONFIG


def test_bf16_accumulates_in_fp32() -> None:
    world = World(rank=0, size=2, device=torch.device("cpu"))
    config = deepspeed_config(CONFIG, world)
    assert config["data_types"] == {"grad_accum_dtype": "fp32"}
    assert config["gradient_accumulation_steps"] == 64
    assert "data_types" not in deepspeed_config(replace(CONFIG, precision="fp32"), world)


def test_checkpointed_activations_keep_less_and_give_the_same_gradients(one_rank: World, vocab_size: int) -> None:
    windows = torch.randint(vocab_size, (2, 20), generator=torch.Generator().manual_seed(1))
    gradients, kept = [], []
    for checkpointed in (False, True):
        loss = NextTokenLoss(build_model(SHAPE, vocab_size, SEED))
        config = replace(CONFIG, precision="fp32", global_batch_size=8, activation_checkpointing=checkpointed)
        start_engine(loss, config, one_rank)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(partial(counted, sizes), lambda tensor: tensor):
            value = loss(windows)
        kept.append(sum(sizes))
        gradients.append(torch.autograd.grad(value, list(loss.parameters())))
    assert kept[1] < 0.6 * kept[0]
    torch.testing.assert_close(*gradients)


def test_what_is_moved_to_the_gpu_is_cast_before(one_rank: World, vocab_size: int) -> None:
    """Weights in fp32 and in bf16 do not fit side by side."""
    moved: list[set[torch.dtype]] = []

    class Watched(NextTokenLoss):
        def to(self, *arguments: Any, **named: Any) -> Any:
            moved.append({parameter.dtype for parameter in self.parameters()})
            return super().to(*arguments, **named)

    loss = Watched(build_model(SHAPE, vocab_size, SEED))
    start_engine(loss, replace(CONFIG, global_batch_size=8), one_rank)
    assert moved == [{torch.bfloat16}]


def counted(sizes: list[int], tensor: torch.Tensor) -> torch.Tensor:
    sizes.append(tensor.nbytes)
    return tensor
