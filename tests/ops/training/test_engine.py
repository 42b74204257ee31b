from dataclasses import replace

import torch

from lang1_assets.ops.training.engine import deepspeed_config
from lang1_assets.ops.training.world import World
from tests.ops.training.conftest import CONFIG


def test_bf16_accumulates_in_fp32() -> None:
    world = World(rank=0, size=2, device=torch.device("cpu"))
    config = deepspeed_config(CONFIG, world)
    assert config["data_types"] == {"grad_accum_dtype": "fp32"}
    assert config["gradient_accumulation_steps"] == 64
    assert "data_types" not in deepspeed_config(replace(CONFIG, precision="fp32"), world)
