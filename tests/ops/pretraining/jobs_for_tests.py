"""The pretraining job with one accident planted: `ACCIDENT=SIGTERM@8`, right after the eighth step, to all ranks.

`KILLRANK@8` kills one rank of them. `NAN@6` makes the loss of one rank not finite on the seventh batch of data, each time
that batch is drawn.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from lang1_assets.ops.next_token_loss import NextTokenLoss
from lang1_assets.ops.pretraining import loop, objective
from lang1_assets.ops.training.job import run_job
from lang1_assets.ops.training.world import World

take_step = loop.take_step
name, _, at = os.environ["ACCIDENT"].partition("@")


class PoisonedLoss(NextTokenLoss):
    factor = 1.0

    def forward(self, windows: Tensor) -> Tensor:
        return super().forward(windows) * self.factor


def take_step_with_accident(config: Any, engine: Any, mixture: Any, state: Any, world: World) -> Tensor:
    poisoned = name == "NAN" and state.data_step == int(at) and world.rank == world.size - 1
    engine.module.factor = float("nan") if poisoned else 1.0
    loss = take_step(config, engine, mixture, state, world)
    if name == "KILLRANK" and state.step == int(at) and world.rank == 1:
        (Path(sys.argv[sys.argv.index("--config") + 1]).parent / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("SIG") and state.step == int(at) and world.rank == 0:
        # As the launcher stops a job: the whole process group at once.
        os.killpg(os.getpgrp(), signal.Signals[name])
    return loss


if __name__ == "__main__":
    loop.take_step = take_step_with_accident
    objective.NextTokenLoss = PoisonedLoss  # type: ignore[misc]
    run_job(loop.main)
