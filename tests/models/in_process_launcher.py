"""A launcher for tests of assets: the finetuning job in this process, on one rank."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lang1_assets.ops.finetuning.config import FinetuneConfig
from lang1_assets.ops.finetuning.loop import finetune
from lang1_assets.ops.reporting import Reporter
from lang1_assets.ops.training.world import World
from lang1_assets.resources.launcher import TrainingLauncher

_world: list[World] = []


def use_world(world: World) -> None:
    """The rank that jobs are run on from now on; resources hold plain values alone."""
    _world[:] = [world]


class Never:
    """In the place of a `StopFlag`, which sets a signal handler."""

    is_set = False


class InProcessLauncher(TrainingLauncher):
    def run(self, context: Any, *, config: Mapping[str, Any], work: Path, on_metrics: Any, **others: Any) -> None:
        # Through JSON, as a job of its own would get it.
        read = FinetuneConfig.from_json(json.loads(json.dumps(config, default=str)))
        with Reporter(work, 0) as reporter:
            assert finetune(read, work, _world[0], reporter, Never())  # type: ignore[arg-type]
        on_metrics([json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()])
