import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lang1_assets.ops.training import (
    TrainingConfig,
    World,
    deepspeed_config,
    gradient_accumulation_steps,
    learning_rate_at,
)

CONFIG = TrainingConfig(
    global_batch_size=1024,
    micro_batch_size=8,
    max_steps=10_000,
    learning_rate=4e-4,
    min_learning_rate=4e-5,
    warmup_steps=2000,
    betas=(0.9, 0.95),
    eps=1e-8,
    weight_decay=0.1,
    gradient_clipping=1.0,
    zero_stage=2,
    precision="bf16",
    compile=False,
    validate_every_steps=100,
    save_every_steps=100,
    log_every_steps=10,
)


def test_learning_rate_warms_up_linearly_and_ends_at_the_minimum() -> None:
    assert learning_rate_at(0, CONFIG) == pytest.approx(4e-4 / 2000)
    assert learning_rate_at(999, CONFIG) == pytest.approx(2e-4)
    assert learning_rate_at(2000, CONFIG) == pytest.approx(4e-4)
    assert learning_rate_at(6000, CONFIG) == pytest.approx((4e-4 + 4e-5) / 2)
    assert learning_rate_at(10_000, CONFIG) == pytest.approx(4e-5)


@given(st.integers(0, 20_000))
def test_learning_rate_matches_torch(step: int) -> None:
    """Against torch's own cosine schedule, as a second implementation."""
    rate = learning_rate_at(step, CONFIG)
    if step < CONFIG.warmup_steps:
        assert 0 < rate <= CONFIG.learning_rate
        return
    share = min(step, CONFIG.max_steps) - CONFIG.warmup_steps
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=CONFIG.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=CONFIG.max_steps - CONFIG.warmup_steps, eta_min=CONFIG.min_learning_rate
    )
    closed_form = (
        schedule.eta_min
        + (schedule.base_lrs[0] - schedule.eta_min) * (1 + math.cos(math.pi * share / schedule.T_max)) / 2
    )
    assert rate == pytest.approx(closed_form)


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8, 16]))
def test_accumulation_keeps_the_global_batch(world_size: int, micro: int) -> None:
    steps = gradient_accumulation_steps(replace(CONFIG, micro_batch_size=micro), world_size)
    assert steps * micro * world_size == CONFIG.global_batch_size


def test_a_batch_that_does_not_divide_is_explained() -> None:
    with pytest.raises(ValueError, match="not a multiple of micro_batch_size 8 x 3 ranks"):
        gradient_accumulation_steps(CONFIG, 3)


def test_bf16_accumulates_in_fp32() -> None:
    world = World(rank=0, size=2, device=torch.device("cpu"))
    config = deepspeed_config(CONFIG, world)
    assert config["data_types"] == {"grad_accum_dtype": "fp32"}
    assert config["gradient_accumulation_steps"] == 64
    assert "data_types" not in deepspeed_config(replace(CONFIG, precision="fp32"), world)
