"""Whether a model fits into this machine's GPUs: asked before the hours in which it is read, and answered in bytes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open


def num_weights(folder: Path) -> int:
    """Of a Hugging Face folder, from the heads of its safetensors files: no weight is read."""
    total = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as held:
            total += sum(math.prod(held.get_slice(name).get_shape()) for name in held.keys())  # noqa: SIM118 - no dictionary
    return total


def gpu_bytes() -> int | None:
    """Memory of the smallest GPU here; None where everything is computed without one."""
    if not torch.cuda.is_available() or os.environ.get("DS_ACCELERATOR") == "cpu":
        return None
    return min(torch.cuda.get_device_properties(number).total_memory for number in range(torch.cuda.device_count()))


def require_room(folder: Path, what: str, bytes_of: Callable[[int], int], advice: str) -> None:
    """
    Args:
        folder: the model's.
        bytes_of: number of weights -> bytes of each GPU, at the least.

    Raises:
        ValueError: a GPU has fewer.
    """
    there = gpu_bytes()
    if there is None:
        return
    needed = bytes_of(num_weights(folder))
    if needed > there:
        raise ValueError(
            f"{folder}: {what} needs {needed:,} bytes of each GPU or more, and there are {there:,}; {advice}"
        )
