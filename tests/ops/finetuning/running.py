"""The job in this process: a config's learner and notes, a run that is stopped or killed at a step."""

from pathlib import Path
from typing import Any

import pytest

from lang1_assets.ops.finetuning import loop, search
from lang1_assets.ops.finetuning.config import FinetuneConfig
from lang1_assets.ops.finetuning.learner import Learner, learner_of
from lang1_assets.ops.finetuning.loop import finetune
from lang1_assets.ops.finetuning.notes import HeldOut, load_held_out
from lang1_assets.ops.prompts import PromptSet
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.world import World

MAX_STEPS = 8


def learner(config: dict[str, Any]) -> Learner:
    return learner_of(FinetuneConfig.from_json(config))


def held_out(config: dict[str, Any]) -> dict[str, HeldOut]:
    return load_held_out(FinetuneConfig.from_json({**config, "validation_examples": 20}), learner(config))


def val_prompts(config: dict[str, Any]) -> dict[str, PromptSet]:
    return {task: held.prompts for task, held in held_out(config).items()}


class Flag:
    """In the place of a `StopFlag`: set when asked for the nth time."""

    def __init__(self, at: int = -1) -> None:
        self._left = at

    @property
    def is_set(self) -> bool:
        self._left -= 1
        return self._left == 0


def run(config: dict[str, Any], work: Path, world: World, flag: Flag | None = None) -> bool:
    work.mkdir(exist_ok=True)
    with Reporter(work, world.rank) as reporter:
        return finetune(FinetuneConfig.from_json(config), work, world, reporter, flag or Flag())  # type: ignore[arg-type]


def patch_steps(monkeypatch: pytest.MonkeyPatch, step: Any) -> None:
    for module in (loop, search):
        monkeypatch.setattr(module, "take_step", step)


class Killed(BaseException):
    """Nothing in the job catches it."""
