"""Checkpoints from which an interrupted run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch.distributed as dist

from lang1_assets.ops.training.world import World

RESUME_FOLDER = "resume"


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
