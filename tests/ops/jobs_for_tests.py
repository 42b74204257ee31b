"""The training jobs with one accident planted: `ACCIDENT=pretraining:SIGKILL@8`, right after the eighth step.

`NAN@6` makes the loss of one rank not finite on the seventh batch of data, each time that batch is drawn.
"""

import os
import signal
from typing import Any

from torch import Tensor

from lang1_assets.ops import finetuning, pretraining
from lang1_assets.ops.model import NextTokenLoss
from lang1_assets.ops.training import World, run_job


def signal_the_job(name: str, world: World) -> None:
    """As the launcher stops a job: the whole process group at once."""
    if world.rank == 0:
        os.killpg(os.getpgrp(), signal.Signals[name])


def plant_in_pretraining(name: str, at: int) -> None:
    take_step = pretraining.take_step

    def take_step_with_accident(config: Any, engine: Any, mixture: Any, state: Any, world: World) -> Tensor:
        poisoned = name == "NAN" and state.data_step == at and world.rank == world.size - 1
        engine.module.factor = float("nan") if poisoned else 1.0
        loss = take_step(config, engine, mixture, state, world)
        if name != "NAN" and state.step == at:
            signal_the_job(name, world)
        return loss

    class PoisonedLoss(NextTokenLoss):
        factor = 1.0

        def forward(self, windows: Tensor) -> Tensor:
            return super().forward(windows) * self.factor

    pretraining.take_step = take_step_with_accident
    pretraining.NextTokenLoss = PoisonedLoss  # type: ignore[misc]


def plant_in_finetuning(name: str, at: int) -> None:
    take_step = finetuning.take_step

    def take_step_with_accident(engine: Any, batches: Any, step: int, training: Any, world: World) -> Tensor:
        loss = take_step(engine, batches, step, training, world)
        if step + 1 == at:
            signal_the_job(name, world)
        return loss

    finetuning.take_step = take_step_with_accident


def main() -> bool:
    job, _, accident = os.environ["ACCIDENT"].partition(":")
    name, _, at = accident.partition("@")
    plant = {"pretraining": plant_in_pretraining, "finetuning": plant_in_finetuning}[job]
    plant(name, int(at))
    return {"pretraining": pretraining, "finetuning": finetuning}[job].main()


if __name__ == "__main__":
    run_job(main)
