"""This process among the ranks."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from lang1_assets.ops.training.deepspeed_alone import ShareMemCommBuilder, deepspeed
from lang1_assets.ops.training.processes import die_with_parent
from lang1_assets.ops.training.slurm import join_slurm_step


@dataclass(frozen=True, kw_only=True)
class World:
    """This process among the ranks."""

    rank: int
    size: int
    device: torch.device
    hosts: Any = None
    """The same ranks as a group over gloo; None where that is the default."""

    def mean(self, value: float | Tensor) -> float:
        """Mean over ranks, on every rank."""
        tensor = torch.as_tensor(value, dtype=torch.float64, device=self.device).clone()
        dist.all_reduce(tensor)
        return tensor.item() / self.size

    def means(self, values: Tensor) -> list[float]:
        """Mean over ranks of each of several values, on every rank."""
        tensor = values.to(self.device, torch.float64)
        dist.all_reduce(tensor)
        return [value / self.size for value in tensor.tolist()]

    def any(self, flag: bool) -> bool:
        """Whether it is true on any rank; asked at every step, so over the hosts' network and never waiting for the GPU."""
        tensor = torch.tensor(float(flag))
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self.hosts)
        return bool(tensor.item())

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


def set_up(seed: int) -> World:
    """Join the other ranks, seed everything, and make sure that no rank outlives its launcher."""
    die_with_parent()
    join_slurm_step(os.environ)
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
        # What is left in fp32 may use the tensor cores.
        torch.set_float32_matmul_precision("high")
    hosts = dist.new_group(backend="gloo") if cuda else None
    return World(rank=dist.get_rank(), size=dist.get_world_size(), device=device, hosts=hosts)


def is_among_others() -> bool:
    """Whether this process has joined other ranks."""
    return dist.is_initialized() and dist.get_world_size() > 1


def leave() -> None:
    """Part from the other ranks, which are at their end as well; a rank that fails must not wait for them like this."""
    if dist.is_initialized():
        dist.destroy_process_group()
