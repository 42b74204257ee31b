"""A checkpoint of one number of ranks, read by another.

ZeRO leaves each rank's part of the optimizer in a file of its own, and DeepSpeed refuses to load them with another number of
ranks. Its universal checkpoints are the way around, for all stages. They are made only when they are needed, because they
cost as much space and more time than the checkpoint itself.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist

from lang1_assets.ops.training.processes import POLL_SECONDS
from lang1_assets.ops.training.world import World

CONVERTER = "deepspeed.checkpoint.ds_to_universal"
CONVERTED_FILE = "converted"


def load_for_other_ranks(engine: Any, folder: Path, world: World) -> dict[str, Any]:
    """Convert, load and remove the conversion; DeepSpeed's client state.

    Raises:
        RuntimeError: DeepSpeed's converter failed; the end of what it printed is in the message.
    """
    universal = folder.with_name(f"universal-{folder.name}")
    if world.rank == 0:
        shutil.rmtree(universal, ignore_errors=True)
    dist.barrier()
    if world.rank == 0:
        convert(folder, universal)
        (universal / CONVERTED_FILE).touch()
    # By a file: 100 GB take longer than a rank may wait in a collective operation (DeepSpeed: 10 minutes).
    while not (universal / CONVERTED_FILE).exists():
        time.sleep(POLL_SECONDS)
    dist.barrier()
    groups = [dict(group) for group in engine.optimizer.param_groups]
    engine._config.load_universal_checkpoint = True
    try:
        _, client_state = engine.load_checkpoint(str(universal.parent), tag=universal.name)
    finally:
        engine._config.load_universal_checkpoint = False
    restore_groups(engine, groups)
    dist.barrier()
    if world.rank == 0:
        shutil.rmtree(universal, ignore_errors=True)
        (universal.parent / "latest_universal").unlink(missing_ok=True)
    return dict(client_state)


def convert(folder: Path, universal: Path) -> None:
    """In a process of its own: the converter forks workers, which a process with a GPU and threads must not do."""
    command = [sys.executable, "-m", CONVERTER, "--input_folder", str(folder), "--output_folder", str(universal)]
    done = subprocess.run([*command, "--inject_missing_state"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{folder} could not be converted for another number of ranks: {done.stderr[-2000:]}")


def restore_groups(engine: Any, groups: list[dict[str, Any]]) -> None:
    """Undo what DeepSpeed 0.19.8 gets wrong under ZeRO-3.

    It gives all groups the settings of the first (so the norms would decay), and all parameters the same step tensor
    (so each step would be counted once a group).
    """
    for group, before in zip(engine.optimizer.param_groups, groups, strict=True):
        group.update({name: value for name, value in before.items() if name != "params"})
    for state in engine.optimizer.state.values():
        if "step" in state:
            state["step"] = state["step"].clone()
