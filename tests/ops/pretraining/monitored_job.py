"""The pretraining job twice in one process, without and with monitoring; and what the monitor did to the random numbers.

Writes into `without/` and `with/` of the job's folder, and `rng.json`: whether each state was the same after each look.
"""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lang1_assets.ops.pretraining import loop
from lang1_assets.ops.pretraining.config import PretrainConfig
from lang1_assets.ops.pretraining.monitoring import Monitor
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.job import StopFlag, read_config, run_job
from lang1_assets.ops.training.world import World, set_up

same: list[bool] = []
run = Monitor.run


def states() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def run_and_compare(self: Monitor, *arguments: Any) -> None:
    before = states()
    run(self, *arguments)
    same.append(states() == before)


def pretrain_into(work: Path, config: PretrainConfig, world: World) -> None:
    work.mkdir(exist_ok=True)
    with Reporter(work, world.rank) as reporter:
        loop.pretrain(config, work, world, reporter, StopFlag())


def main() -> bool:
    values, work = read_config()
    config = PretrainConfig.from_json(values)
    world = set_up(config.seed)
    pretrain_into(work / "without", replace(config, monitoring=None), world)
    pretrain_into(work / "with", config, world)
    everyone = world.gather(same)
    if world.rank == 0:
        (work / "rng.json").write_text(json.dumps(everyone))
    return True


if __name__ == "__main__":
    Monitor.run = run_and_compare  # type: ignore[method-assign]
    run_job(main)
