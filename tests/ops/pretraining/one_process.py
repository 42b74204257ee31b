"""The pretraining job in this process, as its only rank: accidents can be planted, and no launcher has to start."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from lang1_assets.ops.pretraining import loop
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.world import World


class Never:
    """In the place of a `StopFlag`: nobody sends a signal."""

    is_set = False


def read_config(config: dict[str, Any]) -> PretrainConfig:
    return PretrainConfig.from_json(json.loads(json.dumps(config, default=str)))


def pretrain_here(config: dict[str, Any], work: Path, world: World) -> bool:
    work.mkdir(exist_ok=True)
    # More threads than cores to themselves wait for each other longer than these tensors take.
    torch.set_num_threads(1)
    with Reporter(work, world.rank) as reporter:
        return loop.pretrain(read_config(config), work, world, reporter, Never())  # type: ignore[arg-type]


@contextmanager
def accident(happens: Callable[[Any, torch.Tensor], torch.Tensor]) -> Iterator[list[int]]:
    """`happens` is given the state after each step and the step's loss, and gives the loss that is reported.

    Yields the data steps that were drawn.
    """
    drawn: list[int] = []
    take_step = loop.take_step

    def take_step_with_accident(config: Any, engine: Any, batches: Any, state: Any, world: World) -> torch.Tensor:
        drawn.append(state.data_step)
        return happens(state, take_step(config, engine, batches, state, world))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "take_step", take_step_with_accident)
        yield drawn


def alerts_of(work: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (work / "alerts.jsonl").read_text().splitlines()]
