"""What a step was and what it cost: loss, tokens per second, model FLOPs utilization, memory, waiting for data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from lang1_assets.ops.encoder.masking import num_masked
from lang1_assets.ops.model import ModelShape
from lang1_assets.ops.pretraining.batches import Batches
from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.intervals import peak_memory_bytes
from lang1_assets.ops.training.schedule import learning_rate_at
from lang1_assets.ops.training.world import World

DENSE_BF16_FLOPS = {"B200": 2_250e12, "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}
"""Peak of one GPU without sparsity, by a part of its name (NVIDIA's data sheets)."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The steps since something was logged."""

    loss: float
    num_steps: int
    seconds: float
    """Without validation, monitoring and saving."""


def flops_per_token(num_parameters: int, shape: ModelShape) -> float:
    """Floating-point operations that training on one token takes: 6 N + 12 layers x width x context.

    The usual count (Chowdhery et al. 2022, PaLM, appendix B): forward and backward pass, attention over the whole context,
    nothing for what is computed twice.
    """
    return 6 * num_parameters + 12 * shape.num_hidden_layers * shape.hidden_size * shape.context_length


def parameters_a_token(config: PretrainConfig, num_parameters: int) -> int:
    """The N of `flops_per_token`: an encoder's output layer, which is its embedding, is computed for the masked tokens alone."""
    if config.objective == "next_token":
        return num_parameters
    share = num_masked(config.shape.context_length) / config.shape.context_length
    return num_parameters - round((1 - share) * config.vocab_size * config.shape.hidden_size)


def peak_flops(device: torch.device) -> float | None:
    """Of one device of this kind in dense bf16; None where that is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((flops for part, flops in DENSE_BF16_FLOPS.items() if part in name), None)


class Progress:
    """Logs intervals of one run."""

    def __init__(self, config: PretrainConfig, num_parameters: int, world: World, reporter: Reporter) -> None:
        self._config = config
        self._world = world
        self._reporter = reporter
        self._flops_per_token = flops_per_token(parameters_a_token(config, num_parameters), config.shape)
        self._peak_flops = peak_flops(world.device)

    def log(self, engine: Any, state: LoopState, interval: Interval, batches: Batches) -> None:
        config = self._config
        norm = engine.get_global_grad_norm()
        values = {
            "train/loss": interval.loss,
            "train/learning_rate": learning_rate_at(state.step - 1, config.training),
            "train/tokens": state.step * config.tokens_per_step,
            **({"train/gradient_norm": float(norm)} if norm is not None else {}),
            **self._cost(interval, batches.wait_seconds),
        }
        batches.wait_seconds = 0.0
        self._reporter.metrics(state.step, values)
        self._reporter.say(self._line(state.step, interval, values))

    def _cost(self, interval: Interval, wait_seconds: float) -> dict[str, float]:
        speed = interval.num_steps * self._config.tokens_per_step / interval.seconds
        cost = {
            "speed/tokens_per_second": speed,
            "speed/data_wait_share": wait_seconds / interval.seconds,
            "speed/peak_memory_bytes": peak_memory_bytes(self._world.device),
        }
        if self._peak_flops is not None:
            most = self._peak_flops * self._world.size
            cost["speed/model_flops_utilization"] = speed * self._flops_per_token / most
        return cost

    def _line(self, step: int, interval: Interval, values: dict[str, float]) -> str:
        max_steps = self._config.training.max_steps
        left = (max_steps - step) * interval.seconds / interval.num_steps
        used = values.get("speed/model_flops_utilization")
        utilization = f", {used:.1%} MFU" if used is not None else ""
        return (
            f"step {step}/{max_steps} loss {interval.loss:.3f} {values['speed/tokens_per_second']:,.0f} tokens/s"
            f"{utilization}, about {left:.0f} s left"
        )
