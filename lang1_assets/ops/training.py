"""The training mechanism that pretraining and finetuning share: DeepSpeed, steps, checkpoints, stopping.

A job module has one arc: set up, fit, validate, save. What is the same in both lives here.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import random
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import deepspeed
import numpy as np
import torch
import torch.distributed as dist
from deepspeed.ops.op_builder.cpu import ShareMemCommBuilder
from torch import Tensor, nn

STOPPED_EXIT_CODE = 143
INPUT_ERROR_EXIT_CODE = 65
"""The job cannot work with what it was given; running it again changes nothing."""
RESUME_FOLDER = "resume"


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
    validate_every_steps: int
    save_every_steps: int
    log_every_steps: int


@dataclass(frozen=True, kw_only=True)
class World:
    """This process among the ranks."""

    rank: int
    size: int
    device: torch.device

    def mean(self, value: float | Tensor) -> float:
        """Mean over ranks, on every rank."""
        tensor = torch.as_tensor(value, dtype=torch.float64, device=self.device).clone()
        dist.all_reduce(tensor)
        return tensor.item() / self.size

    def any(self, flag: bool) -> bool:
        tensor = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return bool(tensor.item())

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


class StopFlag:
    """Set by SIGTERM: the run saves at the next step and ends. Ranks can get the signal more than once."""

    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, signum: int, frame: Any) -> None:
        self.is_set = True


def run_job(job: Callable[[], bool]) -> NoReturn:
    """Run a job to its exit code: 0 done, 143 stopped by a signal after saving, 65 for input it cannot work with."""
    try:
        sys.exit(0 if job() else STOPPED_EXIT_CODE)
    except ValueError as error:
        # Our own errors are ValueErrors and say what to do; everything else is a crash and may pass.
        traceback.print_exc()
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(INPUT_ERROR_EXIT_CODE)


def read_config() -> tuple[dict[str, Any], Path]:
    """The job's JSON file and its work folder, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file that the launching asset wrote")
    # The launcher adds it; torch.distributed takes the rank from the environment.
    parser.add_argument("--local_rank", type=int, default=0)
    path = parser.parse_args().config
    return json.loads(path.read_text()), path.parent


def set_up(seed: int) -> World:
    """Join the other ranks, seed everything, and make sure that no rank outlives its launcher."""
    die_with_parent()
    # Its shared-memory all-reduce serves inference alone, costs half a minute of C++ and leaves 130 MB a run in /dev/shm.
    deepspeed.ops.__compatible_ops__[ShareMemCommBuilder.NAME] = False
    deepspeed.init_distributed(verbose=False)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    cuda = torch.cuda.is_available() and os.environ.get("DS_ACCELERATOR") != "cpu"
    device = torch.device(f"cuda:{local}" if cuda else "cpu")
    if cuda:
        torch.cuda.set_device(device)
    return World(rank=dist.get_rank(), size=dist.get_world_size(), device=device)


def die_with_parent() -> None:
    """Linux: get SIGKILL when the launcher dies, so that a killed run leaves no rank behind.

    A rank that loses only its peers ends by itself: the launcher ends all ranks when one is gone.
    """
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    parent = os.getppid()
    threading.Thread(target=_exit_when_orphaned, args=(parent,), daemon=True).start()


def _exit_when_orphaned(parent: int) -> None:
    # The death signal is lost if the launcher died before it was asked for.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def gradient_accumulation_steps(config: TrainingConfig, world_size: int) -> int:
    """Micro-batches of each rank in one optimizer step.

    Raises:
        ValueError: the global batch does not divide by ranks times micro-batch.
    """
    together = config.micro_batch_size * world_size
    if config.global_batch_size % together:
        raise ValueError(
            f"global_batch_size {config.global_batch_size} is not a multiple of micro_batch_size "
            f"{config.micro_batch_size} x {world_size} ranks; change one of them in the profile"
        )
    return config.global_batch_size // together


def start_engine(module: nn.Module, config: TrainingConfig, world: World) -> Any:
    """A DeepSpeed engine around a module whose forward returns the loss."""
    module.to(world.device)
    decayed = [p for p in module.parameters() if p.requires_grad and p.dim() >= 2]
    plain = [p for p in module.parameters() if p.requires_grad and p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    # A client optimizer: the one that DeepSpeed configures itself was 15 % slower on CPU.
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, eps=config.eps, fused=True)
    engine, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=deepspeed_config(config, world))
    if config.compile:
        engine.compile()
    return engine


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
        "bf16": {"enabled": bf16},
        **({"data_types": {"grad_accum_dtype": "fp32"}} if bf16 else {}),
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


def learning_rate_at(step: int, config: TrainingConfig, peak: float | None = None) -> float:
    """Linear warmup, then cosine down to `min_learning_rate` at `max_steps` (paper 5.3 and 5.4)."""
    peak = config.learning_rate if peak is None else peak
    if step < config.warmup_steps:
        return peak * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    low = min(config.min_learning_rate, peak)
    return low + 0.5 * (peak - low) * (1 + math.cos(math.pi * min(1.0, share)))


def set_learning_rate(engine: Any, rate: float) -> None:
    for group in engine.optimizer.param_groups:
        group["lr"] = rate


def whole_weights(engine: Any) -> dict[str, Tensor]:
    """The language model's full weights on rank 0 (empty elsewhere under ZeRO-3), without the loss wrapper's prefix."""
    if engine.zero_optimization_stage() == 3:
        weights = engine._zero3_consolidated_16bit_state_dict() or {}
    else:
        weights = engine.module.state_dict()
    return {name.removeprefix("model."): value for name, value in weights.items()}


def save_resume(engine: Any, work: Path, step: int, state: dict[str, Any], world: World) -> None:
    """Everything needed to go on: weights, optimizer, and the loop's own state; the pointer moves last.

    The checkpoint before it stays, because the pointer leads there until this one is whole.
    """
    folder = work / RESUME_FOLDER
    tag = f"step-{step:08d}"
    engine.save_checkpoint(str(folder), tag=tag, client_state={"loop": state}, save_latest=False)
    dist.barrier()
    if world.rank == 0:
        pointer, beside = folder / "latest", folder / "latest.tmp"
        kept = {tag, pointer.read_text()} if pointer.exists() else {tag}
        beside.write_text(tag)
        beside.rename(pointer)
        # By name and not by age: a checkpoint that was cut off half-way may have a higher step than both.
        for old in folder.glob("step-*"):
            if old.name not in kept:
                shutil.rmtree(old, ignore_errors=True)
    dist.barrier()


def load_resume(engine: Any, work: Path) -> dict[str, Any] | None:
    """Go back to the last finished checkpoint; None when there is none."""
    pointer = work / RESUME_FOLDER / "latest"
    if not pointer.exists():
        return None
    folder, client_state = engine.load_checkpoint(str(pointer.parent), tag=pointer.read_text())
    if folder is None:
        raise ValueError(f"{pointer.parent}: checkpoint {pointer.read_text()} is not readable; delete this folder")
    return client_state["loop"]
