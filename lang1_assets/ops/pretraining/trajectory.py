"""What a run leaves behind: the trajectory of Hugging Face checkpoints and a summary (M25)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lang1_assets.ops.model import save_model
from lang1_assets.ops.pretraining.config import LoopState, PretrainConfig
from lang1_assets.ops.training.engine import whole_weights
from lang1_assets.ops.training.world import World

TRAJECTORY_FOLDER = "trajectory"


def save_trajectory(config: PretrainConfig, engine: Any, state: LoopState, work: Path, world: World) -> None:
    weights = whole_weights(engine)
    if world.rank == 0:
        name = f"tokens-{state.step * config.tokens_per_step:015d}"
        save_model(engine.module.model, weights, config.tokenizer_folder, work / TRAJECTORY_FOLDER / name)


def write_summary(config: PretrainConfig, state: LoopState, work: Path, num_parameters: int, world: World) -> None:
    tokens = state.step * config.tokens_per_step
    summary = {
        "num_parameters": num_parameters,
        "num_ranks": world.size,
        "device": world.device.type,
        "steps": state.step,
        "tokens": tokens,
        "tokens_per_second": round(tokens / max(state.train_seconds, 1e-9)),
        "num_reverts": state.num_reverts,
        "trajectory": sorted(path.name for path in (work / TRAJECTORY_FOLDER).iterdir() if path.is_dir()),
    }
    (work / "summary.json").write_text(json.dumps(summary, indent=1))
